#include "proxy/client/http1_codec.h"
#include "proxy/exchange/headers.h"
#include "tests/fuzz/support.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <string>

using namespace nearhop;
using fuzz::require;
using wire::Name;

namespace {

std::size_t count(std::span<const wire::Field> fields, Name name) {
    return static_cast<std::size_t>(
        std::count_if(fields.begin(), fields.end(), [&](const auto& field) { return field.id == name; }));
}

/// What an origin gets, read by its own rules.
void check(std::string_view out, const exchange::Request& request, const exchange::Forwarding& how) {
    require(count(request.fields, Name::host) <= 1);
    wire::HeadScan scan;
    require(scan.scan(out) == wire::HeadScan::State::complete && scan.size() == out.size());
    wire::RequestHead head;
    require(wire::parse_request(out, 1000, head) == wire::HeadError::none);
    require(head.method == request.method && head.target == request.target && head.minor == 1);

    const auto framing = wire::request_framing(head);
    require(framing && framing->kind == request.framing.kind && framing->length == request.framing.length);
    require(count(head.fields, Name::host) == 1 && count(head.fields, Name::x_request_id) == 1);
    require(count(head.fields, Name::x_forwarded_for) == 1 && count(head.fields, Name::forwarded) == 1);
    require(count(head.fields, Name::underscore_twin) == 0 && count(head.fields, Name::x_nearhop) == 0);
    for (const auto& field : head.fields) {
        require(fuzz::is_token(field.name) && fuzz::is_clean_value(field.value));
        require(!exchange::is_hop_by_hop(field.id) || field.id == Name::transfer_encoding ||
                field.id == Name::upgrade || field.id == Name::connection);
        require(!wire::equal_ignoring_case(field.name, how.secret_headers.front()));
        if (field.id == Name::host) require(!field.value.empty());
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

}  // namespace

/// The serialised request (Beast #579): whatever head was accepted, an origin reads the same method, target and framing
/// from ours, one Host, and nothing that a client could have smuggled into our own fields. The first byte chooses
/// who is trusted and which Host is sent.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    static const conf::Limits limits;
    static const std::string secret[] = {"x-secret"};
    static const char* const hosts[] = {"client", "origin", "own.test"};

    wire::Stream stream;
    client::Http1Codec codec{stream, true};
    codec.begin_request(limits);
    stream.in().append(fuzz::text_of(data + 1, std::min(size - 1, std::size_t{8192})));
    if (codec.read_head() != client::Http1Codec::Read::ready) return 0;

    exchange::Forwarding how;
    how.peer = *geo::Address::parse("192.0.2.7");
    how.trusted = (data[0] & 1) != 0;
    how.request_id = "0123abc";
    how.secret_headers = secret;
    steering::SiteTable site;
    site.host_header = hosts[(data[0] >> 1) % std::size(hosts)];
    OriginInfo origin;
    origin.host_field = "origin.test:8080";
    wire::Buffer out;
    exchange::write_request_head(codec.request(), how, site, origin, out);
    check(out.view(), codec.request(), how);
    return 0;
}
