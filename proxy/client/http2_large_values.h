#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace nearhop::client {

/// nghttp2 takes no string above 64 KiB, and with the string it loses HPACK's state: a connection would end where
/// HTTP/1.1 answers 431. This follows header blocks (RFC 7541 sections 5 and 6) and writes such values over, in place
/// and without changing the length of a frame: a value of 64 KiB, too large for any table, empties the decoder's table
/// as the original does; the rest of the original becomes fields without meaning. The head is refused for its size
/// either way. Names above 64 KiB, and a length that is cut by the end of a frame, are left to nghttp2, which ends the
/// connection.
class LargeValues {
public:
    static constexpr std::uint32_t nghttp2_most = 65'536;  ///< bytes of a string, as encoded: NGHTTP2_HD_MAX_NV

    explicit LargeValues(std::uint32_t most = nghttp2_most) noexcept : most_{most} {}  ///< `most`: at least 127
    void begin_block() noexcept { *this = LargeValues{most_}; }
    /// The next fragment of the block: what a HEADERS or CONTINUATION frame has of it.
    void pass(std::span<char> fragment) noexcept;
    /// A value of the present block was written over.
    bool found() const noexcept { return found_; }

private:
    enum class State : std::uint8_t { field, index, name_length, name, value_length, value, written_over, lost };
    bool add_to_number(unsigned char byte) noexcept;
    void begin_number(unsigned bits) noexcept;
    void write_over(char* length) noexcept;
    char* fill(char* at, const char* end) noexcept;

    std::uint32_t most_;
    State state_ = State::field;
    bool literal_ = false;
    bool found_ = false;
    std::uint8_t prefix_ = 0;   ///< mask of the number's first byte
    std::uint8_t counted_ = 0;  ///< its bytes so far
    std::uint32_t number_ = 0;
    std::uint32_t left_ = 0;      ///< of a string
    std::uint32_t rest_ = 0;      ///< of the original value, after the string that replaces it
    std::array<char, 6> head_{};  ///< of a field in place of the rest: its name's index and its value's length
    std::uint8_t head_at_ = 6;    ///< how much of it is written
};

}  // namespace nearhop::client
