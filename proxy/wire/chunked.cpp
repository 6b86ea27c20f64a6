#include "proxy/wire/chunked.h"

#include "proxy/wire/head.h"

#include <algorithm>
#include <charconv>

namespace nearhop::wire {
namespace {
int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool is_control(char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; }
}  // namespace

ChunkedDecoder::Step ChunkedDecoder::next(std::string_view in) {
    std::size_t at = 0;
    const auto refuse = [&](Deviation why) {
        state_ = State::bad;
        deviation_ = why;
        return Step{Result::malformed, {}, at};
    };
    while (at < in.size()) {
        const char c = in[at];
        switch (state_) {
            case State::size: {
                const int digit = hex(c);
                if (digit >= 0) {
                    // 15 digits stay below 2^60: no sum can wrap (CVE-2013-2028).
                    if (++digits_ > 15) return refuse(Deviation::chunk_size);
                    left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
                } else {
                    if (digits_ == 0) return refuse(c == '\n' ? Deviation::bare_lf : Deviation::chunk_size);
                    if (c == '\r')
                        state_ = State::size_feed;
                    else if (c == ';')
                        state_ = State::extension;
                    else if (c == ' ' || c == '\t')
                        state_ = State::space;
                    else
                        return refuse(c == '\n' ? Deviation::bare_lf : Deviation::chunk_size);
                }
                if (++line_ > line_limit_) return refuse(Deviation::chunk_size);
                ++at;
                break;
            }
            case State::space:  // some servers pad the size; anything else behind it could be read as a part of it
                if (c == '\r') {
                    state_ = State::size_feed;
                    deviation_ = Deviation::chunk_padding;
                } else if (c == ';')
                    state_ = State::extension;
                else if (c != ' ' && c != '\t')
                    return refuse(Deviation::chunk_size);
                if (++line_ > line_limit_) return refuse(Deviation::chunk_size);
                ++at;
                break;
            case State::extension:
                if (c == '\r')
                    state_ = State::size_feed;
                else if (is_control(c))
                    return refuse(Deviation::chunk_extension);
                if (++line_ > line_limit_) return refuse(Deviation::chunk_extension);
                ++at;
                break;
            case State::size_feed:
                if (c != '\n') return refuse(Deviation::bare_cr);
                ++at;
                line_ = 0;
                digits_ = 0;
                state_ = left_ == 0 ? State::trailer : State::data;
                break;
            case State::data: {
                const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size() - at));
                left_ -= count;
                if (left_ == 0) state_ = State::data_return;
                return {Result::data, in.substr(at, count), at + count};
            }
            case State::data_return:
                if (c != '\r') return refuse(Deviation::chunk_end);
                ++at;
                state_ = State::data_feed;
                break;
            case State::data_feed:
                if (c != '\n') return refuse(Deviation::chunk_end);
                ++at;
                state_ = State::size;
                break;
            case State::trailer:
            case State::trailer_value:
                ++at;
                if (c == '\r') {
                    if (state_ == State::trailer && line_ != 0) return refuse(Deviation::bad_trailer);  // no colon
                    state_ = State::trailer_feed;
                    break;
                }
                if (trailers_.size() >= trailer_limit_) return refuse(Deviation::bad_trailer);
                if (state_ == State::trailer) {
                    if (c == ':' && line_ != 0)
                        state_ = State::trailer_value;
                    else if (!is_token_char(c))
                        return refuse(c == '\n' ? Deviation::bare_lf : Deviation::bad_trailer);
                } else if (is_control(c)) {
                    return refuse(c == '\n' ? Deviation::bare_lf : Deviation::bad_trailer);
                }
                trailers_.push_back(c);
                ++line_;
                break;
            case State::trailer_feed:
                if (c != '\n') return refuse(Deviation::bare_cr);
                ++at;
                if (line_ == 0) {
                    state_ = State::done;
                    return {Result::done, {}, at};
                }
                trailers_ += "\r\n";
                line_ = 0;
                state_ = State::trailer;
                break;
            case State::done: return {Result::done, {}, at};
            case State::bad: return refuse(deviation_);
        }
    }
    if (state_ == State::done) return {Result::done, {}, at};
    return {Result::more, {}, at};
}

std::size_t write_chunk_line(std::uint64_t size, char* into) noexcept {
    auto [end, error] = std::to_chars(into, into + 16, size, 16);
    (void)error;
    *end++ = '\r';
    *end++ = '\n';
    return static_cast<std::size_t>(end - into);
}

}  // namespace nearhop::wire
