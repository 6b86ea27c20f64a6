#include "proxy/exchange/exchange.h"

#include "proxy/exchange/peer_trust.h"
#include "proxy/exchange/viewer.h"
#include "proxy/steering/path.h"

#include <openssl/evp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace nearhop::exchange {

using steering::Considered;
using wire::Deviation;
using wire::Name;

namespace {

std::uint64_t microseconds_of(loop::Clock::duration time) noexcept {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

}  // namespace

Exchange::Exchange(Context& context, loop::Wake& wake, Codec& client, const Request& request, const Peer& peer)
    : context_{context},
      wake_{wake},
      client_{client},
      request_{request},
      peer_{peer},
      timer_{context.loop, wake},
      replay_{context} {
    context_.begin_request();
}

Exchange::~Exchange() {
    // Destroyed before its end: the edge stops. What a tunnel or a long download did so far is still worth its line.
    if (!recorded_ && std::uncaught_exceptions() == 0) {
        outcome_.fault = Fault::edge_stopped;
        record();
    }
    context_.end_request();
    if (attempt_) context_.recycle(std::move(attempt_));
    if (hedge_) context_.recycle(std::move(hedge_));
    if (parked_) context_.recycle(std::move(parked_));
}

loop::Task<Outcome> Exchange::run() {
    began_ = context_.loop.now();
    recorded_ = false;
    context_.counters.exchanges_started.add();
    Fault fault = Fault::edge_internal;
    try {
        fault = co_await carry();
    } catch (const std::exception& bug) {
        // Whoever has been taken is answered: a client may repeat what ends without an answer, even a POST.
        spdlog::error("event=exchange_failed fault=edge_internal request={} what=\"{}\"", id_, bug.what());
        response_started_ = !client_.take_back();
        relayed_ = relayed_ && response_started_;
        if (response_started_)
            client_.abort();
        else
            bytes_out_ = 0;
    }
    if (fault != Fault::none && !response_started_) answer(fault);
    outcome_.fault = fault;
    record();
    co_return outcome_;
}

/// The request's way to its answer, from who and where to the last byte. A fault may still have to be answered.
loop::Task<Fault> Exchange::carry() {
    locate();
    Fault fault = admit();
    if (fault == Fault::none && spent_) {
        send(client_, options_answer(), false, context_.date());
        response_started_ = outcome_.response_complete = true;
        outcome_.status = 200;
    } else if (fault == Fault::none) {
        state_->budget->on_request(began_);
        state_->counters->retry_tokens.set(static_cast<std::uint64_t>(state_->budget->tokens()));
        fault = co_await offer();
        if (fault == Fault::none && got_421()) fault = give_up_421();
        if (fault != Fault::none && parked_ && !is_final(fault)) {
            attempt_ = std::move(parked_);  // somebody did answer: that is forwarded, not an error of ours
            fault = got_421() ? give_up_421() : Fault::none;
            // What another origin has read of the body is no longer there to be sent.
            if (fault == Fault::none && !attempt_->request_complete() && !replay_.whole()) attempt_->stop_sending();
        }
        if (parked_) discard(std::move(parked_));
        let_go();
        if (fault == Fault::none && switched()) {
            note_body(Fault::none);  // how a tunnel ends is the application's own business
            fault = co_await tunnel();
        } else if (fault == Fault::none) {
            fault = co_await relay();
            note_body(fault);
            if (info(fault).side == Side::origin)
                state_->counters->not_moved[static_cast<std::size_t>(admin::Stay::response_started)].add();
        }
    }
    co_return fault;
}

/// No origin is asked any more, and what is relayed may last for days: the databases of that time need not.
void Exchange::let_go() noexcept {
    if (!forwarding_.secret_headers.empty()) trust_ = snapshot_->trust;  // trailers are still judged by them
    snapshot_.reset();
}

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
    choose_request_id();
    forwarding_.request_id = id_;
}

void Exchange::choose_request_id() {
    if (forwarding_.trusted) {
        for (const auto& field : request_.fields) {
            if (field.id != wire::Name::x_request_id || field.value.empty() || field.value.size() > 128) continue;
            const bool plain = std::all_of(field.value.begin(), field.value.end(), [](char c) {
                return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                       c == '_' || c == '.';
            });
            if (plain) {
                id_ = field.value;
                return;
            }
        }
    }
    static constexpr char digits[] = "0123456789abcdef";
    for (std::size_t half = 0; half < 2; ++half) {
        auto bits = context_.dice.next();
        for (std::size_t i = 0; i < 16; ++i, bits >>= 4) id_buffer_[half * 16 + i] = digits[bits & 15];
    }
    id_ = {id_buffer_.data(), id_buffer_.size()};
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
        if (capacity.judge_request(located_.client, speaks_for_many) == Capacity::Verdict::shed)
            return Fault::edge_overloaded;
        held_ = capacity.hold(located_.client, AddressCounts::What::request);
    }
    if (const Fault fault = decide(); fault != Fault::none) return fault;
    const std::chrono::nanoseconds now = began_.time_since_epoch();
    const auto limited = [&](const Taken& taken) {
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
    steering::decide({*site, request_.method, path(), steering::line_of(located_.client)}, located_.place, table,
                     *current().health, context_.local(*bound_, may_try()), decision_);
    first_ = decision_.first;
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
    if (passed && passes(request_.fields) >= most_passes) return Fault::edge_loop;
    if (underscores) {
        const bool refuse = config_->clients.underscores == conf::Underscores::refuse;
        note(refuse ? Deviation::underscore_refused : Deviation::underscore_name);
        if (refuse) return Fault::client_bad_request;
    }
    const auto hops = max_forwards(request_);
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
    forwarding_.upgrade = chosen_upgrade(request_, site_->routes[decision_.route].upgrades);
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

/// The latest verdicts and addresses, as long as they count in the configuration that this exchange began with.
/// Not after let_go().
const Snapshot& Exchange::current() {
    const auto& latest = context_.snapshot();
    return latest->routing == bound_->routing ? *latest : *snapshot_;
}

void Exchange::answer(Fault fault) {
    // By nghttp2, for a body that contradicts its head; or else the edge has told the fault as it ended the connection.
    const bool reset = request_.http2 && client_.gone() && client_.why_gone() != fault;
    if (fault == Fault::client_gone || fault == Fault::client_write_timeout || reset) {
        client_.abort();
        return;
    }
    std::string_view accept;
    for (const auto& field : request_.fields)
        if (field.id == wire::Name::accept) accept = field.value;
    const auto own = answer_for(fault, accept, id_, retry_after_);
    send(client_, own, request_.method == "HEAD", context_.date());
    if (request_.method != "HEAD") bytes_out_ += own.body.size();
    response_started_ = true;
    outcome_.status = own.status;
    outcome_.response_complete = true;
    if (state_) state_->counters->own_answers[static_cast<std::size_t>(fault)].add();
}

/// Why another origin than the policy's first choice answered, or none; empty: it was the first choice.
std::optional<steering::Reason> Exchange::passed_over() const {
    using steering::Reason;
    if (attempt_ && attempt_->candidate.id == first_.id) return std::nullopt;
    if (attempt_ && attempt_->candidate.reason == Reason::key_pinned) return Reason::key_pinned;
    if (course_.has_tried(first_.id)) return Reason::failed;
    if (first_.passed_over || !attempt_) return first_.passed_over;
    return Reason::late;
}

void Exchange::count_first_choice() {
    const auto why = passed_over();
    if (!why || first_attempt_ == loop::TimePoint{}) return;  // it was never offered
    const auto at = static_cast<std::size_t>(*why);
    state_->origins[first_.id]->passed_over[at].add();
    if (relayed_) state_->origins[attempt_->candidate.id]->stood_in[at].add();
}

void Exchange::record() {
    recorded_ = true;
    const auto took = context_.loop.now() - began_;
    auto& counters = context_.counters;
    if (outcome_.fault != Fault::none) counters.faults[static_cast<std::size_t>(outcome_.fault)].add();
    const Considered* candidate = attempt_ ? &attempt_->candidate : nullptr;
    if (relayed_) {
        auto& origin = *state_->origins[candidate->id];
        origin.requests[static_cast<std::size_t>(candidate->reason)][outcome_.status / 100].add();
        if (outcome_.status != 101) origin.duration.observe_microseconds(microseconds_of(took));
    }
    count_first_choice();
    if (course_.has_moved()) {
        const bool answered = relayed_ && outcome_.status < 500;
        const auto what = info(outcome_.fault).side == Side::client ? admin::Moved::client_gone
                          : answered                                ? admin::Moved::answered
                                                                    : admin::Moved::failed;
        state_->counters->moved[static_cast<std::size_t>(what)].add();
    }
    counters.exchanges_finished.add();
    if (!context_.log) return;
    run::AccessRecord line;
    line.time = std::chrono::system_clock::now();
    line.id = id_;
    line.client = located_.client;
    line.method = method_in_log(request_);
    line.host = request_.host;
    line.path = request_.target;
    if (config_) line.query = &config_->log.query;
    line.protocol = request_.http2 ? "HTTP/2" : request_.http10 ? "HTTP/1.0" : "HTTP/1.1";
    // What the client got: the origin's 101 is a 200 to an extended CONNECT (RFC 8441 section 5).
    const bool tunnelled = outcome_.status == 101;
    line.status = tunnelled && request_.extended_connect ? 200 : outcome_.status;
    if (tunnelled) line.upgrade = forwarding_.upgrade;
    if (site_) line.site = site_->name;
    if (candidate) {
        line.origin = bound_->routing->origins[candidate->id].name;
        line.reason = candidate->reason;
        line.has_reason = true;
    }
    if (decision_.considered_count != 0) {
        line.first_choice = bound_->routing->origins[first_.id].name;
        line.passed_over = passed_over();
    }
    line.place = located_.place;
    line.attempts = course_.attempts();
    line.fault = outcome_.fault;
    line.deviation = std::max({client_.deviations().worst(), deviations_.worst(),
                               attempt_ ? attempt_->deviations().worst() : Deviation::none});
    line.bytes_in = bytes_in_;
    line.bytes_out = bytes_out_;
    line.edge_ms = course_.attempts() ? milliseconds_of(first_attempt_ - began_) : milliseconds_of(took);
    line.connect_ms = milliseconds_of(connect_time_);
    line.origin_ms = milliseconds_of(head_time_);
    line.total_ms = milliseconds_of(took);
    context_.log->write(line);
}

}  // namespace nearhop::exchange
