#pragma once

#include "geo/address.h"

#include <optional>
#include <string_view>

/// The fields in which proxies name the hops that a request came through: X-Forwarded-For, and Forwarded (RFC 7239).
/// Pure; views into the text that was given; no allocation.
namespace nearhop::steering {

/// Without the blanks around it.
std::string_view trimmed(std::string_view text) noexcept;
/// A number from 1 to 65535.
bool is_port(std::string_view text) noexcept;

/// Cuts the first item off a list, without the blanks around it; `rest` is what follows its separator. `quotes`: a
/// separator inside a quoted string is none. A list of nothing but blanks and separators has empty items.
std::string_view cut_item(std::string_view& rest, char separator, bool quotes) noexcept;

/// Whether each quoted string in a line of Forwarded ends there. A client may leave one open to swallow what proxies
/// append: then no quote counts (cut_item), and the appended elements are read.
bool closes_quotes(std::string_view line) noexcept;

/// The name of a hop.
struct Node {
    std::optional<geo::Address> address;
    std::string_view text;  ///< of the address, without brackets and port; else an identifier; empty: neither
    std::string_view port;  ///< beside an address; empty: none
};
/// An address, with or without a port ("192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]:80"), "unknown", or
/// an obfuscated identifier such as "_hidden" (RFC 7239 section 6).
Node parse_node(std::string_view text) noexcept;

/// One element of Forwarded, each value without its quotes; empty: absent, or not understood.
struct ForwardedElement {
    std::string_view node, proto, host;
    bool has_node = false;  ///< it has a `for`, whatever that says
};
/// Nothing when it is malformed (RFC 7239 section 4) or says for, proto or host twice. Characters that should have been
/// quoted, such as the colons of an address, are let pass.
std::optional<ForwardedElement> parse_element(std::string_view element) noexcept;

/// Passes over empty parameters, which mean nothing (RFC 7239 section 4: "for=192.0.2.1;"). False: no other follows.
bool has_parameter(std::string_view& element) noexcept;
/// Cuts the first parameter off an element: its name, and its value as it is written. False: malformed.
bool cut_parameter(std::string_view& element, std::string_view& name, std::string_view& value) noexcept;

}  // namespace nearhop::steering
