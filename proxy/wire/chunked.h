#pragma once

#include "proxy/wire/deviation.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nearhop::wire {

/// Decodes `Transfer-Encoding: chunked` from bytes that arrive in any pieces (RFC 9112 section 7.1), strictly: CRLF
/// everywhere, at most 15 hexadecimal digits, no controls in extensions, tokens as trailer names. Extensions are
/// dropped.
///
///     while (!in.empty()) {
///         auto step = decoder.next(in);    // step.data is body; step.used bytes of `in` are finished
///     }
class ChunkedDecoder {
public:
    ChunkedDecoder() noexcept = default;
    /// Longest chunk-size line and longest trailer section, in bytes.
    ChunkedDecoder(std::size_t line_limit, std::size_t trailer_limit) noexcept
        : line_limit_{line_limit}, trailer_limit_{trailer_limit} {}

    enum class Result : std::uint8_t { more, data, done, malformed };
    struct Step {
        Result result = Result::more;
        std::string_view data;  ///< for `data`: body bytes, the tail of what was used
        std::size_t used = 0;   ///< bytes of the input that are finished with
    };
    /// Goes on until it has body bytes, the end, or no input.
    Step next(std::string_view in);

    /// The trailer section as received, lines with CRLF, without the empty line; after `done`.
    const std::string& trailers() const noexcept { return trailers_; }
    bool done() const noexcept { return state_ == State::done; }
    /// After `malformed`, the reason; else chunk_padding if blanks after a size were skipped.
    Deviation deviation() const noexcept { return deviation_; }

private:
    enum class State : std::uint8_t {
        size,
        space,
        extension,
        size_feed,
        data,
        data_return,
        data_feed,
        trailer,
        trailer_value,
        trailer_feed,
        done,
        bad
    };
    std::size_t line_limit_ = 256;
    std::size_t trailer_limit_ = 8 * 1024;
    State state_ = State::size;
    std::uint64_t left_ = 0;
    unsigned digits_ = 0;
    std::size_t line_ = 0;  ///< bytes of the current line
    std::string trailers_;
    Deviation deviation_ = Deviation::none;
};

/// "1a2b\r\n" into `into` (at least 18 bytes); returns its length.
std::size_t write_chunk_line(std::uint64_t size, char* into) noexcept;

}  // namespace nearhop::wire
