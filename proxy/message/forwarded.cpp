#include "proxy/message/forwarded.h"

#include "proxy/message/line_writer.h"
#include "proxy/steering/forwarded.h"
#include "proxy/wire/head.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace nearhop::message {
namespace {

using steering::Node;
using wire::Name;

constexpr std::size_t most_hops = 64;      // what a chain grows by when it is written in both forms is bounded
constexpr std::size_t longest_proto = 32;  // both are written up to three times
constexpr std::size_t longest_host = 261;  // a name of 253 bytes, or an address, and a port

/// The items of a list field over all its lines; empty ones are left out (RFC 9110 section 5.6.1).
class Items {
public:
    Items(std::span<const wire::Field> fields, Name name) noexcept : fields_{fields}, name_{name} {
        while (!fields_.empty() && fields_.front().id != name_) fields_ = fields_.subspan(1);
        while (!fields_.empty() && fields_.back().id != name_) fields_ = fields_.first(fields_.size() - 1);
    }

    std::optional<std::string_view> next() noexcept {
        for (;;) {
            while (rest_.empty()) {
                if (fields_.empty()) return std::nullopt;
                if (fields_.front().id == name_) rest_ = fields_.front().value;
                quotes_ = name_ == Name::forwarded && steering::closes_quotes(rest_);
                fields_ = fields_.subspan(1);
            }
            if (const auto item = steering::cut_item(rest_, ',', quotes_); !item.empty()) return item;
        }
    }

private:
    std::span<const wire::Field> fields_;
    Name name_;
    std::string_view rest_;
    bool quotes_ = false;
};

/// RFC 3986 section 3.1.
bool is_scheme(std::string_view text) noexcept {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    return !text.empty() && text.size() <= longest_proto && letter(text.front()) &&
           std::all_of(text.begin(), text.end(),
                       [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'; });
}

/// Whether it may be the value of a Host field, and be quoted.
bool is_host(std::string_view text) noexcept {
    return !text.empty() && text.size() <= longest_host && std::all_of(text.begin(), text.end(), [](char c) {
        return c > ' ' && c < 0x7f && std::string_view{"\"\\,;/@?#<>"}.find(c) == std::string_view::npos;
    });
}

/// A host is quoted into Forwarded only if it cannot end the quotation.
bool quotable(std::string_view text) noexcept { return text.find_first_of("\"\\") == text.npos; }

bool same(const Node& left, const Node& right) noexcept {
    if (left.address || right.address) return left.address == right.address;
    return wire::equal_ignoring_case(left.text, right.text);
}

std::size_t count(Items items) noexcept {
    std::size_t number = 0;
    while (items.next()) ++number;
    return number;
}

/// A malformed element counts as an unknown hop.
steering::ForwardedElement read(std::string_view element) noexcept {
    if (const auto good = steering::parse_element(element)) return *good;
    steering::ForwardedElement unknown;
    unknown.has_node = true;
    return unknown;
}

/// Whether both lists name the same hops.
bool agree(Items listed, Items elements) noexcept {
    for (;;) {
        const auto entry = listed.next();
        const auto item = elements.next();
        if (!entry || !item) return !entry && !item;
        const auto element = read(*item);
        if (!element.has_node || !same(steering::parse_node(*entry), steering::parse_node(element.node))) return false;
    }
}

std::string_view text_of(const Node& node) noexcept { return node.text.empty() ? "unknown" : node.text; }

/// The value of `for`: what is no token is quoted, and an IPv6 address is in brackets there (RFC 7239 section 6).
void write_node(const LineWriter& write, const Node& node) {
    const std::string_view text = text_of(node);
    const bool v6 = node.address && text.find(':') != text.npos;
    if (!v6 && node.port.empty()) return write("for=", text);
    write(v6 ? "for=\"[" : "for=\"", text, v6 ? "]" : "", node.port.empty() ? "" : ":", node.port, "\"");
}

/// Appends the element without its host and proto. False: nothing was left of it.
bool write_rest(const LineWriter& write, std::string_view element) {
    bool any = false;
    if (!steering::parse_element(element)) element = "for=unknown";
    std::string_view name, value;
    while (steering::has_parameter(element) && steering::cut_parameter(element, name, value)) {
        if (wire::equal_ignoring_case(name, "host") || wire::equal_ignoring_case(name, "proto")) continue;
        const bool plain = value.front() == '"' || std::all_of(value.begin(), value.end(), wire::is_token_char);
        write(std::exchange(any, true) ? ";" : "", name, plain ? "=" : "=\"", value, plain ? "" : "\"");
    }
    return any;
}

/// What the believed fields say together.
struct Said {
    Said(const Request& request, const Forwarding& how) noexcept;

    Items listed, elements;                           ///< of X-Forwarded-For and Forwarded
    std::size_t listed_count = 0, element_count = 0;  ///< 0 also where Forwarded contradicts
    std::string_view proto, host;
};

Said::Said(const Request& request, const Forwarding& how) noexcept
    : listed{how.trusted ? request.fields : std::span<const wire::Field>{}, Name::x_forwarded_for},
      elements{how.trusted ? request.fields : std::span<const wire::Field>{}, Name::forwarded},
      proto{request.secure ? "https" : "http"},
      host{request.authority} {
    if (!how.trusted) return;
    listed_count = count(listed);
    element_count = count(elements);
    if (listed_count != 0 && element_count != 0 && !agree(listed, elements)) element_count = 0;

    // Of the client's hop; where the client was found otherwise, of the last one, which the peer itself has written.
    steering::ForwardedElement told;
    Items items = elements;
    const std::size_t at = std::min<std::size_t>(std::max(how.hops, 1u), element_count);
    for (std::size_t left = element_count; left > 0 && left >= at; --left) told = read(*items.next());
    const auto proto_field = Items{request.fields, Name::x_forwarded_proto}.next();
    const auto host_field = Items{request.fields, Name::x_forwarded_host}.next();
    if (proto_field && is_scheme(*proto_field))
        proto = *proto_field;
    else if (is_scheme(told.proto))
        proto = told.proto;
    if (host_field && is_host(*host_field))
        host = *host_field;
    else if (is_host(told.host))
        host = told.host;
}

}  // namespace

std::string_view client_proto(const Request& request, const Forwarding& how) noexcept {
    return Said{request, how}.proto;
}

void write_forwarded(const Request& request, const Forwarding& how, wire::Buffer& out) {
    const LineWriter write{out};
    const Said said{request, how};
    const bool by_elements = said.element_count != 0;
    const std::size_t hops = by_elements ? said.element_count : said.listed_count;
    const auto each = [&](Items items, auto use) {
        for (std::size_t left = hops; left > 0; --left)
            if (const auto item = *items.next(); left <= most_hops) use(item);
    };
    const std::string peer = how.peer.text();

    write("X-Forwarded-For: ");
    if (said.listed_count != 0)
        each(said.listed, [&](std::string_view entry) { write(entry, ", "); });
    else
        each(said.elements, [&](std::string_view item) {
            const auto element = read(item);
            if (element.has_node) write(text_of(steering::parse_node(element.node)), ", ");
        });
    write(peer, "\r\nX-Forwarded-Proto: ", said.proto, "\r\n");
    if (!said.host.empty()) write("X-Forwarded-Host: ", said.host, "\r\n");

    const auto say = [&] {
        if (!said.host.empty() && quotable(said.host)) write(";host=\"", said.host, "\"");
        write(";proto=", said.proto);
    };
    write("Forwarded: ");
    bool first = true;
    each(by_elements ? said.elements : said.listed, [&](std::string_view item) {
        if (!by_elements)
            write_node(write, steering::parse_node(item));
        else if (!write_rest(write, item))
            return;
        if (std::exchange(first, false)) say();
        write(", ");
    });
    write_node(write, {how.peer, peer, {}});
    say();
    write("\r\n");
}

}  // namespace nearhop::message
