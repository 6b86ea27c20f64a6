#include "proxy/admin/family.h"

namespace nearhop::admin {
namespace {

template <class Read>
std::uint64_t sum(const shared::Registry& registry, Read read) {
    std::uint64_t total = 0;
    for (unsigned i = 0; i < registry.workers(); ++i) total += read(registry.worker(i)).get();
    return total;
}

/// What began and has not ended. Ends are read first: what begins in between cannot make the difference negative.
template <class Begun, class Ended>
std::uint64_t difference(const shared::Registry& registry, Begun begun, Ended ended) {
    const std::uint64_t over = sum(registry, ended);
    return sum(registry, begun) - over;
}

void add_located(Families& out, const shared::Registry& registry) {
    Family located = counter("nearhop_located_total", "Requests by how their client was located, and how precisely.");
    for (std::size_t source = 0; source < 4; ++source)
        for (std::size_t level = 0; level < 5; ++level)
            located.add({{"geo_source", geo::name(static_cast<geo::Source>(source))},
                         {"geo_level", geo::name(static_cast<geo::Level>(level))}},
                        sum(registry, [&](const auto& w) -> auto& { return w.located[source][level]; }));
    Family bad = counter("nearhop_viewer_fields_bad_total",
                         "Requests with a malformed or repeated viewer field of a trusted peer.");
    bad.add({}, sum(registry, [](const auto& w) -> auto& { return w.viewer_fields_bad; }));
    Family disagreed = counter("nearhop_viewer_country_disagreed_total",
                               "Requests whose viewer country is not the database's; the header wins.");
    disagreed.add({}, sum(registry, [](const auto& w) -> auto& { return w.viewer_country_disagreed; }));
    take_all(out, located, bad, disagreed);
}

void add_http2(Families& out, const shared::Registry& registry) {
    Family sessions = counter("nearhop_http2_sessions_total", "Client connections that speak HTTP/2.");
    sessions.add({}, sum(registry, [](const auto& w) -> auto& { return w.http2_sessions; }));
    Family streams = counter("nearhop_http2_streams_total", "Streams that HTTP/2 clients opened.");
    streams.add({}, sum(registry, [](const auto& w) -> auto& { return w.http2_streams; }));
    Family refused = counter("nearhop_http2_refused_total", "Streams that were refused: above the limit, or too late.");
    refused.add({}, sum(registry, [](const auto& w) -> auto& { return w.http2_refused; }));
    Family resets = counter("nearhop_http2_resets_total", "Streams that were reset, and by whom.");
    resets.add({{"by", "client"}}, sum(registry, [](const auto& w) -> auto& { return w.http2_client_resets; }));
    resets.add({{"by", "edge"}}, sum(registry, [](const auto& w) -> auto& { return w.http2_edge_resets; }));
    Family ended = counter("nearhop_http2_ended_total", "HTTP/2 sessions that ended, and why.");
    for (std::size_t why = 1; why < account::http2_end_count; ++why)
        ended.add({{"why", name(static_cast<account::Http2End>(why))}},
                  sum(registry, [why](const auto& w) -> auto& { return w.http2_ended[why]; }));
    take_all(out, sessions, streams, refused, resets, ended);
}

}  // namespace

void add_sessions(Families& out, const shared::Registry& registry) {
    const auto total = [&](auto member) {
        return sum(registry, [member](const auto& w) -> auto& { return w.*member; });
    };
    using W = account::WorkerCounters;

    Family faults = counter("nearhop_faults_total", "Exchanges and sessions that met a fault, by its code.");
    for (std::size_t i = 1; i < account::fault_count; ++i)
        faults.add({{"fault", account::info(static_cast<account::Fault>(i)).code}},
                   sum(registry, [i](const auto& w) -> auto& { return w.faults[i]; }));

    Family deviations = counter("nearhop_deviations_total",
                                "Messages that differ from HTTP: acceptable ones are normalised, others refused.");
    for (std::size_t i = 1; i < wire::deviation_count; ++i) {
        const auto which = static_cast<wire::Deviation>(i);
        const auto add = [&](std::string_view side, std::uint64_t count) {
            deviations.add_unless_zero(
                {{"side", side}, {"class", wire::name(wire::strictness(which))}, {"reason", wire::name(which)}}, count);
        };
        add("client", sum(registry, [i](const auto& w) -> auto& { return w.client_deviations[i]; }));
        add("origin", sum(registry, [i](const auto& w) -> auto& { return w.origin_deviations[i]; }));
    }

    Family sessions = gauge("nearhop_sessions", "Client connections that are open.");
    sessions.add({}, difference(
                         registry, [](const auto& w) -> auto& { return w.sessions_opened; },
                         [](const auto& w) -> auto& { return w.sessions_closed; }));
    Family opened = counter("nearhop_sessions_total", "Client connections accepted.");
    opened.add({}, total(&W::sessions_opened));
    Family refused = counter("nearhop_sessions_refused_total", "Client connections closed at once, by the limit.");
    for (std::size_t i = 1; i < account::refusal_count; ++i)
        refused.add({{"limit", name(static_cast<account::Refusal>(i))}},
                    sum(registry, [i](const auto& w) -> auto& { return w.sessions_refused[i]; }));
    Family used_up = counter("nearhop_sessions_used_up_total", "Client connections ended after their requests.");
    used_up.add({}, total(&W::sessions_used_up));
    Family load = gauge("nearhop_load_ratio", "Share of a limit in use; shedding begins at 0.8.");
    for (std::size_t i = 0; i < shared::resource_count; ++i) {
        const auto what = static_cast<shared::Resource>(i);
        load.add({{"resource", name(what)}}, registry.capacity.load(what) / 100.0);
    }
    Family forgotten =
        counter("nearhop_rate_buckets_forgotten_total",
                "Token buckets in use that gave way to another client's: limits.addresses is too small.");
    forgotten.add({}, total(&W::buckets_forgotten));
    Family keys = counter("nearhop_idempotency_keys_forgotten_total",
                          "Idempotency-Keys that gave way to newer ones before their time: failover.idempotency_keys.");
    keys.add({}, total(&W::keys_forgotten));
    Family accept =
        counter("nearhop_accept_errors_total", "Failed accepts, such as no free descriptor; accepting pauses.");
    accept.add({}, total(&W::accept_errors));
    Family handshakes = counter("nearhop_tls_handshakes_total", "TLS handshakes with clients.");
    handshakes.add({{"result", "full"}}, total(&W::handshakes_full));
    handshakes.add({{"result", "resumed"}}, total(&W::handshakes_resumed));
    handshakes.add({{"result", "failed"}}, total(&W::handshakes_failed));
    Family exchanges = gauge("nearhop_exchanges", "Requests in flight.");
    exchanges.add({}, difference(
                          registry, [](const auto& w) -> auto& { return w.exchanges_started; },
                          [](const auto& w) -> auto& { return w.exchanges_finished; }));
    Family tunnels = gauge("nearhop_tunnels", "Upgraded connections that are open.");
    tunnels.add({}, difference(
                        registry, [](const auto& w) -> auto& { return w.tunnels_opened; },
                        [](const auto& w) -> auto& { return w.tunnels_closed; }));
    Family tunnels_opened = counter("nearhop_tunnels_total", "Connections that switched to another protocol.");
    tunnels_opened.add({}, total(&W::tunnels_opened));
    Family tunnelled = counter("nearhop_tunnel_bytes_total", "Bytes inside tunnels, from and to clients.");
    tunnelled.add({{"direction", "received"}}, total(&W::tunnel_received));
    tunnelled.add({{"direction", "sent"}}, total(&W::tunnel_sent));
    Family client = counter("nearhop_client_bytes_total", "Bytes on the wire between clients and the edge.");
    client.add({{"direction", "received"}}, total(&W::client_received));
    client.add({{"direction", "sent"}}, total(&W::client_sent));
    Family origin = counter("nearhop_origin_bytes_total", "Bytes on the wire between the edge and origins.");
    origin.add({{"direction", "received"}}, total(&W::origin_received));
    origin.add({{"direction", "sent"}}, total(&W::origin_sent));
    Family replay = gauge("nearhop_replay_buffer_bytes", "Request bodies held for a possible second attempt.");
    replay.add({}, total(&W::replay_bytes));
    take_all(out, faults, deviations, sessions, opened, refused, used_up, load, forgotten, keys, accept, handshakes,
             exchanges, tunnels, tunnels_opened, tunnelled, client, origin, replay);
    add_located(out, registry);
    add_http2(out, registry);
}

}  // namespace nearhop::admin
