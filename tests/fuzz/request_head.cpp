#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"
#include "tests/fuzz/support.h"

#include <string>

using namespace nearhop::wire;
using nearhop::fuzz::require;

namespace {

/// The head as a strict sender would have written it.
std::string written(const RequestHead& head) {
    std::string out{head.method};
    out += ' ';
    out += head.target;
    out += head.minor == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
    for (const auto& field : head.fields) {
        out += field.name;
        out += ": ";
        out += field.value;
        out += "\r\n";
    }
    return out + "\r\n";
}

/// The end is found at the same byte however the head arrives.
void check_scan(std::string_view all, HeadScan::State state, const HeadScan& whole) {
    HeadScan split;
    auto now = HeadScan::State::more;
    for (std::size_t given = 1; given <= all.size() && now == HeadScan::State::more; ++given) {
        now = split.scan(all.substr(0, given));
        require(now != HeadScan::State::complete || split.size() == given);
    }
    require(now == state);
    if (state == HeadScan::State::complete)
        require(split.size() == whole.size() && split.first_line() == whole.first_line());
}

}  // namespace

/// What is accepted has one unambiguous form: written again, our own parser reads the same request and framing, and no
/// byte of it could end a line, a name or the target early.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto all = nearhop::fuzz::text_of(data, size);
    HeadScan scan;
    const auto state = scan.scan(all);
    check_scan(all, state, scan);
    if (state != HeadScan::State::complete) return 0;

    const std::string bytes{all.substr(0, scan.size())};
    RequestHead head;
    const auto error = parse_request(bytes, 100, head);
    if (error != HeadError::none) return 0;
    require(!nearhop::fuzz::is_folded(bytes));
    require(head.minor <= 1 && nearhop::fuzz::is_token(head.method) && !head.target.empty());
    require(head.fields.size() <= 100);
    for (const char c : head.target) require(c > ' ' && c < 0x7f && c != '#');
    for (const auto& field : head.fields) {
        require(nearhop::fuzz::is_token(field.name) && nearhop::fuzz::is_clean_value(field.value));
        require(field.value.empty() || (field.value.front() != ' ' && field.value.back() != ' '));
        require(field.id == classify(field.name));
    }

    const std::string again = written(head);
    HeadScan second;
    require(second.scan(again) == HeadScan::State::complete && second.size() == again.size());
    RequestHead same;
    require(parse_request(again, 100, same) == HeadError::none);
    require(same.method == head.method && same.target == head.target && same.minor == head.minor);
    require(written(same) == again);

    const auto framing = request_framing(head);
    const auto same_framing = request_framing(same);
    require(framing.has_value() == same_framing.has_value());
    if (!framing) return 0;
    require(framing->kind == same_framing->kind && framing->length == same_framing->length);
    require(framing->kind != Framing::Kind::until_close && framing->length <= INT64_MAX);
    require(framing->kind != Framing::Kind::chunked || head.minor == 1);
    return 0;
}
