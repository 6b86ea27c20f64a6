#include "bench/tools/faults_answer.h"

#include <algorithm>
#include <cctype>
#include <iterator>

namespace nearhop::bench {
namespace {

std::string garbage(std::uint64_t turn) {
    const std::string answers[] = {
        "what is this\r\n\r\n",
        std::string("\0\1\2\xff\xfe", 5) + std::string(300, '\x80'),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n bad : folded\r\nnonsense\r\n\r\n",
    };
    return answers[turn % std::size(answers)];
}

}  // namespace

std::string field(std::string_view head, std::string_view name) {
    for (std::size_t line = head.find("\r\n"); line != std::string_view::npos; line = head.find("\r\n", line + 2)) {
        const std::string_view text = head.substr(line + 2, head.find("\r\n", line + 2) - line - 2);
        const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
        if (text.size() <= name.size() || text[name.size()] != ':') continue;
        if (!std::equal(name.begin(), name.end(), text.begin(), [&](char b, char a) { return same(a, b); })) continue;
        const auto value = text.find_first_not_of(' ', name.size() + 1);
        return std::string(value == std::string_view::npos ? std::string_view{} : text.substr(value));
    }
    return {};
}

bool is_probe(std::string_view head) { return head.find(" /health ") != std::string_view::npos; }

Answer answer_to(std::string_view request, const std::string& region, std::uint64_t work, const Fault& fault,
                 std::uint64_t& turn) {
    const bool probe = is_probe(request);
    const std::size_t size = probe ? 3 : request.find(" /large ") != std::string_view::npos ? 200'000 : 1024;
    unsigned status = 200;
    if (fault.kind == "status" && (probe ? fault.b == 100 : turn++ % 100 * 37 % 100 < fault.b))
        status = static_cast<unsigned>(fault.a);
    Answer answer;
    answer.text = "HTTP/1.1 " + std::to_string(status) + (status == 200 ? " OK" : " No") +
                  "\r\nContent-Type: text/plain\r\nX-Region: " + region + "\r\nX-Echo: " + field(request, "x-id") +
                  "\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
    const std::size_t head = answer.text.size();
    answer.text.append(size, probe ? 'o' : 'b');
    answer.step = size > 100'000 ? size / 8 + head : answer.text.size();  // a large answer takes its time too
    answer.interval = 5 * ms;
    answer.delay = probe ? 1 : work;
    if (fault.kind == "slow_head") answer.delay = fault.a * ms;
    if (fault.kind == "slow_body") answer.step = head + size / 10 + 1, answer.interval = fault.a * ms;
    if (fault.kind == "reset_phases") answer.cut = 20;
    if (fault.kind == "reset_body" && !probe) answer.cut = head + turn++ * 1024 % size;
    if (fault.kind == "truncate") {
        answer.cut = turn++ % 2 == 0 ? head / 2 : answer.text.size() - 1 - size / 2;
        answer.cut_by_reset = false;
    }
    if (fault.kind == "garbage") answer.text = garbage(turn++), answer.cut = answer.step = answer.text.size();
    return answer;
}

}  // namespace nearhop::bench
