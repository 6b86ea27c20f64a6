#include "proxy/exchange/exchange.h"
#include "proxy/exchange/peer_trust.h"
#include "proxy/exchange/viewer.h"
#include "proxy/steering/path.h"

#include <openssl/evp.h>

#include <algorithm>
#include <chrono>

/// The beginning of an exchange: who asks and from where, whether that may be asked here, and the order of the origins.
namespace nearhop::exchange {

using wire::Deviation;
using wire::Name;

/// Steps 1 and 2 of the decision: who and where.
void Exchange::locate() {
    snapshot_ = context_.snapshot();
    bound_ = context_.bound();
    config_ = &bound_->routing->config;
    const auto& trust = *snapshot_->trust;

    steering::ViewerFields viewer;
    const bool trusted = is_trusted(trust, request_, peer_);
    if (trusted) viewer = viewer_fields(request_.fields);
    located_ = steering::locate(peer_.address, trusted, viewer, trust, *snapshot_->locator);
    auto& counters = context_.counters;
    counters.located[static_cast<std::size_t>(located_.place.source)][static_cast<std::size_t>(located_.place.level)]
        .add();
    if (located_.bad_viewer_field) counters.viewer_fields_bad.add();
    if (located_.disagreement) counters.viewer_country_disagreed.add();

    forwarding_.peer = peer_.address;
    forwarding_.trusted = trusted;
    forwarding_.hops = located_.hops;
    forwarding_.secret_headers = trust.secret_headers();
    forwarding_.identity_headers = bound_->routing->identity_headers;
    forwarding_.identity = peer_.identity;
    id_.choose(request_.fields, trusted, context_.dice);
    forwarding_.request_id = id_.text();
}

/// A connection speaks for the certificate that it was opened with, and for what its client had to show. A request for
/// a site where either differs belongs on another connection (RFC 9110 section 15.5.20): a client that coalesces them
/// would get around the site's rule.
bool Exchange::misdirected(steering::SiteId site) const {
    if (bound_->routing->client_rule(*peer_.listener, site) != peer_.client_rule) return true;
    // A CDN may send several hosts' requests on one connection. It shows its clients certificates of its own, and what
    // we ask of it is the same for both.
    if (forwarding_.trusted) return false;
    if (peer_.server_name.empty() || wire::equal_ignoring_case(peer_.server_name, request_.host)) return false;
    const auto& tls = snapshot_->server_tls;
    return tls && !tls->same_certificate(peer_.server_name, request_.host);
}

/// Whether this request may go on: the edge has room for it, a site serves its host, and neither its client nor the
/// site gets more than it may. In this order: what is shed must cost as little as possible.
Fault Exchange::admit() {
    if (context_.ends()) return Fault::edge_stopped;
    auto& capacity = context_.capacity;
    if (capacity.counts_requests()) {
        const bool speaks_for_many = snapshot_->trust->trusts_hop(located_.client);
        if (capacity.judge_request(located_.client, speaks_for_many) == shared::Capacity::Verdict::shed)
            return Fault::edge_overloaded;
        held_ = capacity.hold(located_.client, shared::AddressCounts::What::request);
    }
    if (const Fault fault = decide(); fault != Fault::none) return fault;
    const std::chrono::nanoseconds now = times_.began.time_since_epoch();
    const auto limited = [&](const shared::Taken& taken) {
        if (taken.forgot) context_.counters.buckets_forgotten.add();
        if (!taken.allowed)
            retry_after_ =
                std::max(std::chrono::seconds{1}, std::chrono::ceil<std::chrono::seconds>(taken.retry_after));
        return !taken.allowed;
    };
    const auto& rates = state_->rates;
    if (rates.address.limits() && limited(capacity.take(located_.client, rates.scope, rates.address, now)))
        return Fault::client_rate_limited;
    if (rates.site.limits() && limited(rates.bucket->take(rates.site, now))) return Fault::site_rate_limited;
    return Fault::none;
}

/// Steps 3 to 7 for the site that serves the host, and what must hold of a request before them.
Fault Exchange::decide() {
    const auto& table = *bound_->routing->table;
    const auto site = table.site_of(request_.host);
    if (!site) return Fault::client_unknown_host;
    site_ = &table.sites[*site];
    state_ = &bound_->sites[*site];
    if (misdirected(*site)) return Fault::client_misdirected;
    if (site_->refuses_untrusted && !forwarding_.trusted) return Fault::client_untrusted;
    method_ = steering::method_class(request_.method);
    if (const Fault fault = check_request(); fault != Fault::none) return fault;
    decision_.site = *site;
    decide(steering::Earlier{});
    limits_ = &site_->routes[decision_.route].limits;
    replay_.begin(request_.framing, limits_->replay_buffer, config_->limits.replay_total);
    if (!idempotency_key_.empty() && method_ == steering::MethodClass::unsafe)
        pin_key_ = context_.pins.request(site_->name, request_.method, request_.target, idempotency_key_);
    if (!request_.upgrade.empty()) choose_upgrade();
    return Fault::none;
}

/// Fields and path by the rules of the configuration.
Fault Exchange::check_request() {
    bool underscores = false;
    bool passed = false;    // something before us that tells of itself
    bool nameless = false;  // an empty key, quoted or not: an origin knows nothing again by it
    for (const auto& field : request_.fields) {
        if (field.id == Name::idempotency_key) {
            idempotency_key_ = field.value;
            nameless = nameless || field.value.find_first_not_of('"') == std::string_view::npos;
        }
        if (field.id == Name::via || field.id == Name::cdn_loop) passed = true;
        if (field.id == Name::underscored || field.id == Name::underscore_twin) underscores = true;
    }
    if (nameless) idempotency_key_ = {};
    if (passed && message::passes(request_.fields) >= message::most_passes) return Fault::edge_loop;
    if (underscores) {
        const bool refuse = config_->clients.underscores == conf::Underscores::refuse;
        note(refuse ? Deviation::underscore_refused : Deviation::underscore_name);
        if (refuse) return Fault::client_bad_request;
    }
    const auto hops = message::max_forwards(request_);
    if (hops.malformed) {
        note(Deviation::bad_max_forwards);
        return Fault::client_bad_request;
    }
    spent_ = hops.left == std::uint64_t{0};

    forwarding_.keep_underscores = config_->clients.underscores == conf::Underscores::keep;
    if (site_->normalize_path && request_.path.starts_with('/')) {
        switch (steering::normalize_path(request_.path, site_->encoded_slashes, normal_target_)) {
            case steering::PathForm::as_sent: break;
            case steering::PathForm::changed:
                normal_target_ += request_.target.substr(request_.path.size());
                forwarding_.target = normal_target_;
                break;
            case steering::PathForm::encoded_slash: note(Deviation::encoded_slash); return Fault::client_bad_request;
            case steering::PathForm::bad_percent: note(Deviation::bad_percent); return Fault::client_bad_request;
        }
    }
    if (!steering::readings_agree(*site_, request_.method, path())) {
        note(Deviation::path_reading);
        return Fault::client_bad_request;
    }
    return Fault::none;
}

void Exchange::note(Deviation found) noexcept {
    deviations_.add(found);
    context_.counters.client_deviations[static_cast<std::size_t>(found)].add();
}

void Exchange::choose_upgrade() {
    forwarding_.upgrade = message::chosen_upgrade(request_, site_->routes[decision_.route].upgrades);
    if (!request_.extended_connect || forwarding_.upgrade != "websocket") return;
    // RFC 8441 section 5: the key and its answer are of HTTP/1.1 only, so they are between us and the origin.
    unsigned char nonce[16];
    for (std::size_t half = 0; half < 2; ++half) {
        auto bits = context_.dice.next();
        for (std::size_t i = 0; i < 8; ++i, bits >>= 8) nonce[half * 8 + i] = static_cast<unsigned char>(bits & 0xff);
    }
    unsigned char encoded[25];
    EVP_EncodeBlock(encoded, nonce, sizeof nonce);
    websocket_key_.assign(reinterpret_cast<const char*>(encoded), 24);
    forwarding_.websocket_key = websocket_key_;
}

}  // namespace nearhop::exchange
