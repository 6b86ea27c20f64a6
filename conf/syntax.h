#pragma once

#include "conf/config.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// The small languages inside the values: names, addresses, networks, URLs, durations, sizes. Pure functions from
/// text to value; nullopt: the text has another form.
namespace nearhop::conf {

/// A network as text, checked: a numeric address with or without `/bits`, and no bit set after the prefix.
struct Network {
    std::string text;
    bool everyone = false;  ///< contains every IPv4 or every IPv6 address
};

std::optional<Network> network_from(std::string_view text);

bool is_ipv4(std::string_view text);
bool is_ipv6(std::string_view text);  ///< without brackets and zone

/// A host name in lower case without a trailing dot, or an IPv4 address. No port, no wildcard.
std::optional<std::string> host_name_from(std::string_view text);

/// The same, or `*.` before a name.
std::optional<std::string> site_host_from(std::string_view text);

/// HOST, HOST:PORT, [IPV6] or [IPV6]:PORT, as in a Host field.
std::optional<std::string> host_field_from(std::string_view text);

/// ADDRESS:PORT or [IPV6]:PORT with a numeric address.
std::optional<ListenAddress> listen_address_from(std::string_view text);
std::string to_string(const ListenAddress& address);
/// Whether only one of them can be listened on: the same address in any form, or one that includes the other. 0.0.0.0
/// includes every IPv4 address, [::] those of both versions. Never with port 0: the kernel chooses another port each
/// time.
bool overlap(const ListenAddress& left, const ListenAddress& right);

/// tcp://ADDRESS:PORT, or dns://ADDRESS with or without a port (53).
std::optional<ControlTarget> control_target_from(std::string_view text);
std::string to_string(const ControlTarget& target);

/// http(s)://HOST[:PORT] and nothing after it but one slash.
std::optional<OriginUrl> origin_url_from(std::string_view text);
std::string to_string(const OriginUrl& url);

bool is_token(std::string_view text);        ///< RFC 9110 token: field names, methods
std::string folded(std::string_view name);   ///< of a field: lower case, '_' as '-', as origins may read it
bool is_field_value(std::string_view text);  ///< visible ASCII and inner spaces, not empty
bool is_path(std::string_view text);         ///< '/' and visible ASCII without '#': a request target

std::optional<std::uint64_t> integer_from(std::string_view text);  ///< decimal digits only

/// A whole number and one of ms, s, m, h. The unit is required: "5" could mean seconds or milliseconds.
std::optional<milliseconds> duration_from(std::string_view text);
std::string to_string(milliseconds duration);

/// A whole number and one of B, KiB, MiB, GiB; "0" needs no unit.
std::optional<std::uint64_t> size_from(std::string_view text);
std::string size_to_string(std::uint64_t bytes);

/// Bytes as a message may show them: without control characters, shortened when long.
std::string shown(std::string_view text);

}  // namespace nearhop::conf
