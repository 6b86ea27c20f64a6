#pragma once

#include "proxy/message/headers.h"
#include "proxy/steering/forwarded.h"
#include "tests/fuzz/support.h"

#include <algorithm>
#include <span>
#include <string>
#include <vector>

namespace nearhop::fuzz {

inline std::size_t count(std::span<const wire::Field> fields, wire::Name name) {
    return static_cast<std::size_t>(
        std::count_if(fields.begin(), fields.end(), [&](const auto& field) { return field.id == name; }));
}

/// Both families of forwarded fields say the same, whatever came: hops, scheme and host.
inline void check_families(std::span<const wire::Field> fields, const message::Request& request) {
    using wire::Name;
    const auto one = [&](Name name) {
        std::string_view found;
        for (const auto& field : fields)
            if (field.id == name) found = field.value;
        require(count(fields, name) <= 1);
        return found;
    };
    const std::string_view proto = one(Name::x_forwarded_proto), host = one(Name::x_forwarded_host);
    std::string_view chain = one(Name::x_forwarded_for), elements = one(Name::forwarded);
    require(!proto.empty() && (!host.empty() || request.authority.empty()));
    const auto text_of = [](const steering::Node& node) {
        return node.text.empty() ? std::string_view{"unknown"} : node.text;
    };
    steering::ForwardedElement last;
    for (bool first = true; !elements.empty(); first = false) {
        const auto element = steering::parse_element(steering::cut_item(elements, ',', true));
        require(element.has_value());
        if (first) require(element->proto == proto && element->host == host);
        require(element->proto.empty() || element->proto == proto);
        require(element->host.empty() || element->host == host);
        last = *element;
        if (!element->has_node) continue;
        const auto hop = steering::parse_node(steering::cut_item(chain, ',', false));
        const auto node = steering::parse_node(element->node);
        require(hop.address == node.address && wire::equal_ignoring_case(text_of(hop), text_of(node)));
    }
    require(chain.empty() && last.proto == proto && last.host == host);
}

/// What an origin gets, read by its own rules: the request that was accepted, one framing, one Host, and in the
/// proxy's own fields nothing but the proxy's own words.
inline void check_origin_head(std::string_view out, const message::Request& request, const message::Forwarding& how) {
    using wire::Name;
    require(count(request.fields, Name::host) <= 1);
    wire::HeadScan scan;
    require(scan.scan(out) == wire::HeadScan::State::complete && scan.size() == out.size());
    wire::RequestHead head;
    require(wire::parse_request(out, 2000, head) == wire::HeadError::none);
    require(head.method == request.method && head.target == request.target && head.minor == 1);

    const auto framing = wire::request_framing(head);
    require(framing && framing->kind == request.framing.kind && framing->length == request.framing.length);
    require(count(head.fields, Name::host) == 1 && count(head.fields, Name::x_request_id) == 1);
    require(count(head.fields, Name::x_forwarded_for) == 1 && count(head.fields, Name::forwarded) == 1);
    require(count(head.fields, Name::underscore_twin) == 0 && count(head.fields, Name::x_nearhop) == 0);
    check_families(head.fields, request);
    const std::size_t switches = how.upgrade.empty() ? 0 : 1;
    require(count(head.fields, Name::connection) == switches && count(head.fields, Name::upgrade) == switches);
    for (const auto& field : head.fields) {
        require(is_token(field.name) && is_clean_value(field.value));
        require(!message::is_hop_by_hop(field.id) || field.id == Name::transfer_encoding || switches == 1);
        require(!wire::equal_ignoring_case(field.name, how.secret_headers.front()));
        if (field.id == Name::host) require(!field.value.empty());
        if (field.id == Name::upgrade) require(field.value == how.upgrade);
        if (field.id == Name::x_forwarded_for)
            require(how.trusted ? field.value.ends_with("192.0.2.7") : field.value == "192.0.2.7");
        if (field.id == Name::x_request_id) require(field.value == how.request_id);
        if (how.trusted) continue;
        require(field.id != Name::x_real_ip && field.id != Name::x_forwarded_other &&
                field.id != Name::cloudfront_viewer);
        if (field.id == Name::x_forwarded_proto) require(field.value == "https");
        if (field.id == Name::x_forwarded_host) require(field.value == request.authority);
    }
}

/// Writes the request as for an origin of the site and checks it. `choice`: bit 0 trusts the peer, the next ones
/// choose the Host that is sent.
inline void check_forwarded(const message::Request& request, unsigned choice) {
    static const std::string secret[] = {"x-secret"};
    static const std::vector<std::string> protocols{"websocket", "chat"};
    static const char* const hosts[] = {"client", "origin", "own.test"};
    message::Forwarding how;
    how.peer = *geo::Address::parse("192.0.2.7");
    how.trusted = (choice & 1) != 0;
    how.request_id = "0123abc";
    how.secret_headers = secret;
    how.upgrade = message::chosen_upgrade(request, protocols);
    if (!how.upgrade.empty() && request.protocol == message::Protocol::http2)
        how.websocket_key = "AAAAAAAAAAAAAAAAAAAAAA==";
    steering::SiteTable site;
    site.host_header = hosts[(choice >> 1) % std::size(hosts)];
    shared::OriginInfo origin;
    origin.host_field = "origin.test:8080";
    wire::Buffer out;
    message::write_request_head(request, how, site, origin, out);
    check_origin_head(out.view(), request, how);
}

}  // namespace nearhop::fuzz
