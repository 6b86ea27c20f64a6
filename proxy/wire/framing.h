#pragma once

#include "proxy/wire/head.h"

#include <chrono>
#include <cstdint>
#include <optional>

namespace nearhop::wire {

/// How many body bytes follow a head. One function per direction decides; all other code calls it.
struct Framing {
    enum class Kind : std::uint8_t { none, length, chunked, until_close };
    Kind kind = Kind::none;
    std::uint64_t length = 0;  ///< for Kind::length

    bool has_body() const noexcept { return kind != Kind::none; }
};

/// RFC 9112 section 6.3. nullopt if two recipients could disagree: both fields, either one repeated, a coding
/// other than exactly `chunked`, chunked in HTTP/1.0, a length that is not digits only or does not fit 63 bits.
std::optional<Framing> request_framing(const RequestHead& head) noexcept;

/// The same for a response to a request with `method`; 1xx, 204, 304 and answers to HEAD have no body.
std::optional<Framing> response_framing(const ResponseHead& head, std::string_view request_method) noexcept;

/// How long the sender says that it keeps an idle connection (Keep-Alive: timeout=5, RFC 2068 section 19.7.1); nullopt:
/// the field is absent or not understood.
std::optional<std::chrono::seconds> keep_alive_timeout(const std::vector<Field>& fields) noexcept;

/// Whether the sender keeps the connection open afterwards, by version and Connection fields (RFC 9112 section 9.3).
bool keeps_alive(unsigned minor, const std::vector<Field>& fields) noexcept;

}  // namespace nearhop::wire
