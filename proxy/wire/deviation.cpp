#include "proxy/wire/deviation.h"

#include <algorithm>
#include <bit>
#include <iterator>

namespace nearhop::wire {
namespace {

struct Row {
    std::string_view name;
    Strictness strictness;
    std::string_view meaning;
};

using enum Strictness;
constexpr Row table[] = {
    {"-", compliant, "nothing was found"},
    {"empty_line", acceptable, "empty lines before the request line (RFC 9112 section 2.2): skipped"},
    {"odd_target", acceptable, "characters in the target that no URI has (RFC 3986 section 2): passed as sent"},
    {"underscore_name", acceptable,
     "a field name with an underscore, which some origins read as a dash: dropped or kept, by clients.underscores"},
    {"content_without_meaning", acceptable,
     "content in a GET or HEAD (RFC 9110 section 9.3.1): passed with new framing"},
    {"expect_without_content", acceptable, "Expect without content (RFC 9110 section 10.1.1): dropped"},
    {"chunk_padding", acceptable, "blanks after a chunk size (RFC 9112 section 7.1): dropped"},
    {"length_without_content", acceptable,
     "Content-Length or Transfer-Encoding in a 1xx or 204 answer (RFC 9110 section 8.6): dropped"},
    {"both_framings", ambiguous, "Content-Length beside Transfer-Encoding (RFC 9112 section 6.1)"},
    {"repeated_length", ambiguous, "more than one Content-Length (RFC 9112 section 6.3)"},
    {"repeated_coding", ambiguous, "more than one Transfer-Encoding (RFC 9112 section 6.1)"},
    {"unknown_coding", ambiguous, "a Transfer-Encoding other than exactly `chunked` (RFC 9112 section 6.1)"},
    {"coding_in_http10", ambiguous, "Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)"},
    {"bare_lf", ambiguous, "a line that ends in LF alone (RFC 9112 section 2.2)"},
    {"folded_field", ambiguous, "a field folded over two lines (RFC 9112 section 5.2)"},
    {"space_before_colon", ambiguous, "white space between a field's name and its colon (RFC 9112 section 5.1)"},
    {"request_line_spaces", ambiguous, "white space in the request line where none belongs (RFC 9112 section 3)"},
    {"fragment_in_target", ambiguous, "a fragment in the target (RFC 9112 section 3.2)"},
    {"no_host", ambiguous, "HTTP/1.1 without Host (RFC 9112 section 3.2)"},
    {"repeated_host", ambiguous, "more than one Host (RFC 9112 section 3.2)"},
    {"host_mismatch", ambiguous, "an absolute target that names another host than Host (RFC 9112 section 3.2.2)"},
    {"path_reading", ambiguous,
     "a path that falls under another route once dots, slashes and escapes are read (RFC 3986 section 6.2.2)"},
    {"encoded_slash", ambiguous, "an encoded slash or a backslash, refused by encoded_slashes"},
    {"underscore_refused", ambiguous, "a field name with an underscore, refused by clients.underscores"},
    {"bytes_after_response", ambiguous, "bytes of an origin after its whole answer (RFC 9112 section 6.3)"},
    {"bad_length", severe, "a Content-Length that is not one plain decimal number (RFC 9110 section 8.6)"},
    {"bare_cr", severe, "a CR that ends no line (RFC 9112 section 2.2)"},
    {"nul_byte", severe, "a NUL byte (RFC 9110 section 5.5)"},
    {"control_byte", severe, "a control byte (RFC 9110 section 5.5)"},
    {"bad_field_name", severe, "a field name that is empty or no token (RFC 9110 section 5.1)"},
    {"no_colon", severe, "a field line without a colon (RFC 9112 section 5)"},
    {"bad_method", severe, "a method that is no token (RFC 9110 section 9.1)"},
    {"bad_version", severe, "a version other than HTTP/1.0 and HTTP/1.1 (RFC 9112 section 2.3)"},
    {"bad_target", severe, "a target in none of the four forms, or with bytes outside ASCII (RFC 9112 section 3.2)"},
    {"bad_host", severe, "a host that is no name or address with a port (RFC 9110 section 7.2)"},
    {"bad_percent", severe, "a percent sign without two hexadecimal digits, or %00 (RFC 3986 section 2.1)"},
    {"bad_max_forwards", severe, "a Max-Forwards that is no number (RFC 9110 section 7.6.2)"},
    {"chunk_size", severe, "a chunk size that is no hexadecimal number of 15 digits (RFC 9112 section 7.1)"},
    {"chunk_extension", severe, "a control byte in a chunk extension, or a long one (RFC 9112 section 7.1.1)"},
    {"chunk_end", severe, "chunk data that do not end in CRLF (RFC 9112 section 7.1)"},
    {"bad_trailer", severe, "a malformed or overlong trailer section (RFC 9112 section 7.1.2)"},
    {"bad_status_line", severe, "a malformed status line (RFC 9112 section 4)"},
    {"unasked_switch", severe, "101 without an Upgrade in the request (RFC 9110 section 15.2.2)"},
    {"interim_flood", severe, "more 1xx answers than limits.origin_interim_responses (RFC 9110 section 15.2)"},
    {"endless_head", severe, "an answer's head above limits.origin_head_bytes or 1000 fields (RFC 9110 section 5.4)"},
    {"cut_head", severe, "a connection that ended inside an answer's head (RFC 9112 section 8)"},
    {"other", severe, "malformed in another way"},
};
static_assert(sizeof table / sizeof table[0] == deviation_count, "one row per deviation");
static_assert(std::is_sorted(std::begin(table), std::end(table),
                             [](const Row& left, const Row& right) { return left.strictness < right.strictness; }),
              "worst() is the last");

constexpr const Row& row(Deviation deviation) noexcept { return table[static_cast<std::size_t>(deviation)]; }

}  // namespace

std::string_view name(Strictness strictness) noexcept {
    switch (strictness) {
        case compliant: return "compliant";
        case acceptable: return "acceptable";
        case ambiguous: return "ambiguous";
        case severe: return "severe";
    }
    return "?";
}

std::string_view name(Deviation deviation) noexcept { return row(deviation).name; }
Strictness strictness(Deviation deviation) noexcept { return row(deviation).strictness; }
std::string_view describe(Deviation deviation) noexcept { return row(deviation).meaning; }

Deviation Deviations::worst() const noexcept {
    return bits_ == 0 ? Deviation::none : static_cast<Deviation>(std::bit_width(bits_) - 1);
}

}  // namespace nearhop::wire
