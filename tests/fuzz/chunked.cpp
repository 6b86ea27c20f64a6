#include "proxy/wire/chunked.h"

#include "tests/fuzz/support.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using nearhop::fuzz::require;
using nearhop::wire::ChunkedDecoder;

namespace {

struct Decoded {
    std::string body;
    std::string trailers;
    ChunkedDecoder::Result result = ChunkedDecoder::Result::more;
    std::size_t used = 0;
};

Decoded decode(std::string_view all, std::size_t piece) {
    ChunkedDecoder decoder;
    Decoded out;
    std::size_t given = 0;
    while (given < all.size()) {
        given = std::min(all.size(), given + piece);
        for (;;) {
            const auto step = decoder.next(all.substr(out.used, given - out.used));
            require(step.used <= given - out.used && step.data.size() <= step.used);
            out.used += step.used;
            out.body += step.data;
            out.result = step.result;
            if (step.result == ChunkedDecoder::Result::data) continue;
            break;
        }
        if (out.result != ChunkedDecoder::Result::more) break;
        require(out.used == given);
    }
    out.trailers = decoder.trailers();
    return out;
}

/// A second reader of an accepted body, as plain as can be: size lines, data, CRLF. Returns the sum of the sizes.
std::size_t sum_of_chunks(std::string_view all, std::size_t& end) {
    std::size_t sum = 0;
    for (std::size_t at = 0;;) {
        const auto line_end = all.find("\r\n", at);
        require(line_end != std::string_view::npos);
        const auto size = std::strtoull(std::string{all.substr(at, line_end - at)}.c_str(), nullptr, 16);
        at = line_end + 2;
        if (size == 0) {
            end = at;
            return sum;
        }
        sum += size;
        at += size;
        require(all.substr(at, 2) == "\r\n");
        at += 2;
    }
}

/// Written as we write it and decoded again, it is the same message.
void check_round_trip(const Decoded& whole) {
    char line[32];
    std::string again;
    for (std::size_t at = 0; at < whole.body.size();) {
        const auto size = std::min<std::size_t>(whole.body.size() - at, at % 40 + 1);
        again.append(line, nearhop::wire::write_chunk_line(size, line));
        again.append(whole.body, at, size).append("\r\n");
        at += size;
    }
    again += "0\r\n" + whole.trailers + "\r\n";
    const auto same = decode(again, again.size());
    require(same.result == ChunkedDecoder::Result::done && same.used == again.size());
    require(same.body == whole.body && same.trailers == whole.trailers);
}

}  // namespace

/// The same body, end and trailers whatever the pieces; as long as its chunks together; never more than the input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto all = nearhop::fuzz::text_of(data, size);
    const auto whole = decode(all, size);
    require(whole.body.size() <= size);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, size / 2 + 1}) {
        const auto other = decode(all, piece);
        require(other.result == whole.result && other.body == whole.body);
        if (whole.result == ChunkedDecoder::Result::done)
            require(other.used == whole.used && other.trailers == whole.trailers);
    }
    if (whole.result != ChunkedDecoder::Result::done) return 0;
    std::size_t end = 0;
    require(sum_of_chunks(all, end) == whole.body.size());
    require(all.substr(end, whole.trailers.size()) == whole.trailers);
    require(whole.used == end + whole.trailers.size() + 2);
    check_round_trip(whole);
    return 0;
}
