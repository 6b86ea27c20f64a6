#include "proxy/client/http2_large_values.h"

#include <algorithm>

namespace nearhop::client {

namespace {

constexpr char filler = '/';  // valid in every value, also in a path
/// accept-language without a value, one byte of the static table (RFC 7541 appendix A).
constexpr char empty_field = static_cast<char>(0x91);
constexpr std::uint32_t least_string = 127;  // from here on a length takes more than its first byte

/// Writes `bytes`, at least 127, as a length of `size` bytes, two to five, be they needed or not (RFC 7541
/// section 5.1).
void write_length(char* at, std::uint32_t bytes, unsigned size) noexcept {
    *at = 0x7f;
    std::uint32_t rest = bytes - least_string;
    for (unsigned i = 1; i < size; ++i, rest >>= 7)
        at[i] = static_cast<char>((rest & 0x7f) | (i + 1 < size ? 0x80 : 0));
}

}  // namespace

void LargeValues::begin_number(unsigned bits) noexcept {
    prefix_ = static_cast<std::uint8_t>((1u << bits) - 1);
    counted_ = 0;
    number_ = 0;
}

/// True when the number is whole.
bool LargeValues::add_to_number(unsigned char byte) noexcept {
    if (counted_++ == 0) {
        number_ = byte & prefix_;
        return number_ < prefix_;
    }
    if (counted_ > 5) {
        state_ = State::lost;  // nothing that any frame could hold
        return false;
    }
    number_ += std::uint32_t{byte & 0x7fu} << 7 * (counted_ - 2);
    return (byte & 0x80) == 0;
}

void LargeValues::pass(std::span<char> fragment) noexcept {
    char* const begin = fragment.data();
    char* const end = begin + fragment.size();
    for (char* at = begin; at != end && state_ != State::lost;) {
        const auto byte = static_cast<unsigned char>(*at);
        const auto skip = [&] {
            const auto step = std::min<std::size_t>(left_, static_cast<std::size_t>(end - at));
            left_ -= static_cast<std::uint32_t>(step);
            at += step;
        };
        switch (state_) {
            case State::field:
                literal_ = byte < 0x20 || (byte & 0xc0) == 0x40;  // else an index alone, or the table's new size
                begin_number((byte & 0x80) != 0 ? 7 : (byte & 0x40) != 0 ? 6 : (byte & 0x20) != 0 ? 5 : 4);
                state_ = State::index;
                break;
            case State::index:
                ++at;
                if (!add_to_number(byte)) break;
                state_ = !literal_ ? State::field : number_ == 0 ? State::name_length : State::value_length;
                begin_number(7);
                break;
            case State::name_length:
                ++at;
                if (!add_to_number(byte)) break;
                left_ = number_;
                state_ = State::name;
                break;
            case State::name:
                skip();
                if (left_ != 0) break;
                state_ = State::value_length;
                begin_number(7);
                break;
            case State::value_length:
                ++at;
                if (!add_to_number(byte)) break;
                left_ = number_;
                state_ = State::value;
                if (number_ > most_ && at - begin >= counted_) write_over(at - counted_);
                break;
            case State::value:
                skip();
                if (left_ == 0) state_ = State::field;
                break;
            case State::written_over: at = fill(at, end); break;
            case State::lost: break;
        }
    }
}

/// Its length has been read, and begins at `length`.
void LargeValues::write_over(char* length) noexcept {
    write_length(length, most_, counted_);
    left_ = most_;
    rest_ = number_ - most_;
    found_ = true;
    state_ = State::written_over;
}

char* LargeValues::fill(char* at, const char* end) noexcept {
    constexpr auto head_bytes = static_cast<std::uint32_t>(std::tuple_size_v<decltype(head_)>);
    while (at != end) {
        if (head_at_ < head_bytes) {
            *at++ = head_[head_at_++];
        } else if (left_ != 0) {
            const auto step = std::min<std::size_t>(left_, static_cast<std::size_t>(end - at));
            at = std::fill_n(at, step, filler);
            left_ -= static_cast<std::uint32_t>(step);
        } else if (rest_ == 0) {
            state_ = State::field;
            break;
        } else if (rest_ < head_bytes + least_string) {
            *at++ = empty_field;
            --rest_;
        } else {
            left_ = std::min(rest_ - head_bytes, most_);
            rest_ -= head_bytes + left_;
            head_ = {0x0f, 0x00};  // accept-charset, not indexed
            write_length(head_.data() + 2, left_, head_bytes - 2);
            head_at_ = 0;
        }
    }
    return at;
}

}  // namespace nearhop::client
