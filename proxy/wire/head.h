#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace nearhop::wire {

/// The fields that the proxy itself reads; all others are `other` and pass untouched.
enum class Name : std::uint8_t {
    other,
    accept,
    alt_svc,
    cdn_loop,
    cloudfront_viewer,
    connection,
    content_length,
    content_type,
    date,
    expect,
    forwarded,
    host,
    idempotency_key,
    keep_alive,
    max_forwards,
    proxy_connection,
    retry_after,
    te,
    trailer,
    transfer_encoding,
    upgrade,
    via,
    x_forwarded_for,
    x_forwarded_host,
    x_forwarded_other,
    x_forwarded_proto,
    x_nearhop,
    x_real_ip,
    x_request_id,
    underscored,      ///< any other name with an underscore; clients.underscores decides about it
    underscore_twin,  ///< X_Forwarded_For and similar: some origins cannot tell them from ours, so the edge drops them
};

struct Field {
    std::string_view name;
    std::string_view value;
    Name id = Name::other;
};

/// A parsed head: views into the bytes it was parsed from, which must stay where they are.
struct RequestHead {
    std::string_view method;
    std::string_view target;
    unsigned minor = 1;  ///< HTTP/1.minor
    std::vector<Field> fields;
    bool odd_target = false;  ///< the target holds a character that no URI has (RFC 3986 section 2)
};

struct ResponseHead {
    unsigned status = 0;
    std::string_view reason;
    unsigned minor = 1;
    std::vector<Field> fields;
};

enum class HeadError : std::uint8_t { none, malformed, bad_framing, too_many_fields };

/// Hard limit: a head, with what the proxy adds, must fit into one Buffer beside other output.
inline constexpr std::size_t largest_head = 128 * 1024;

/// Finds the end of a head that arrives in pieces, each byte read once. Lines must end in CRLF: a bare LF is
/// malformed here (RFC 9112 section 2.2 would allow it; two recipients may then disagree).
class HeadScan {
public:
    enum class State : std::uint8_t { more, complete, malformed };
    /// `bytes` is everything received so far, from the first byte of the head on.
    State scan(std::string_view bytes) noexcept;
    std::size_t size() const noexcept { return line_; }              ///< of the head, when complete
    std::size_t first_line() const noexcept { return first_line_; }  ///< its length so far, without CRLF
    void reset() noexcept { *this = {}; }

private:
    std::size_t scanned_ = 0;
    std::size_t line_ = 0;  ///< where the current line starts
    std::size_t first_line_ = 0;
    bool first_done_ = false;
};

/// Parse one complete head (with its empty line). Beast tokenises. This refuses what Beast accepts:
/// obs-fold, targets with controls, non-ASCII or '#', empty names, HTTP versions other than 1.0 and 1.1.
HeadError parse_request(std::string_view head, unsigned max_fields, RequestHead& into);
HeadError parse_response(std::string_view head, unsigned max_fields, ResponseHead& into);

/// No control, blank, '#' or byte outside ASCII (RFC 9112 section 3.2), and at least one byte.
bool valid_target(std::string_view target) noexcept;

Name classify(std::string_view name) noexcept;

/// RFC 9110 section 5.6.2.
constexpr bool is_token_char(char c) noexcept {
    return c > ' ' && c < 0x7f && std::string_view{"\"(),/:;<=>?@[\\]{}"}.find(c) == std::string_view::npos;
}

bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept;

/// Calls `visit(token)` for each element of a comma-separated list (RFC 9110 section 5.6.1); empty ones are skipped.
template <class Visit>
void for_each_token(std::string_view list, Visit visit) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        std::string_view token = list.substr(0, comma);
        while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
        while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
        if (!token.empty()) visit(token);
        if (comma == std::string_view::npos) return;
        list.remove_prefix(comma + 1);
    }
}

}  // namespace nearhop::wire
