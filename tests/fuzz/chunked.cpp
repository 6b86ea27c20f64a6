#include "proxy/wire/chunked.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using nearhop::wire::ChunkedDecoder;

namespace {

void require(bool held) {
    if (!held) std::abort();
}

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

}  // namespace

/// The same body, end and trailers whatever the pieces; never more body than input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view all{reinterpret_cast<const char*>(data), size};
    const auto whole = decode(all, size);
    require(whole.body.size() <= size);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, size / 2 + 1}) {
        const auto other = decode(all, piece);
        require(other.result == whole.result && other.body == whole.body);
        if (whole.result == ChunkedDecoder::Result::done)
            require(other.used == whole.used && other.trailers == whole.trailers);
    }
    return 0;
}
