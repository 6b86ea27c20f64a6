#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace nearhop::account {

/// Untrusted text inside a log line. Nothing in it can end the string, the field or the line, and the line stays
/// valid UTF-8: quotes and backslashes are escaped, control characters (C0, DEL, C1) and bytes that are no UTF-8 are
/// written as \u00xx. JSON strings and quoted logfmt values are the same text.
inline constexpr std::size_t escaped_at_most = 6;  ///< times the bytes of `text`

/// Writes to `out`, which has room for text.size() * escaped_at_most; returns the end of what was written.
char* write_escaped(char* out, std::string_view text) noexcept;

/// A logfmt value: bare where that is unambiguous, else quoted and escaped. Room: two bytes more than above.
char* write_logfmt(char* out, std::string_view text) noexcept;

/// Appends ` key=value`.
void append_logfmt(std::string& line, std::string_view key, std::string_view value);

}  // namespace nearhop::account
