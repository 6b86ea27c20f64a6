#include "proxy/admin/family.h"

#include <array>

namespace nearhop::admin {
namespace {

constexpr std::array<health::Verdict, control::verdict_count> verdicts{
    health::Verdict::unknown, health::Verdict::up, health::Verdict::degraded, health::Verdict::down};

void add_states(Families& out, const control::Control::Status& status) {
    Family verdict = gauge("nearhop_origin_verdict", "1 for the verdict that the origin has, 0 for the others.");
    Family ejected = gauge("nearhop_origin_ejected", "1 while failures of live traffic eject the origin.");
    Family draining = gauge("nearhop_origin_draining", "1 while the operator keeps new requests away.");
    Family share =
        gauge("nearhop_origin_share", "Share of its clients that the origin gets: below 1 while it comes back.");
    Family agent = gauge("nearhop_origin_agent", "1 for what the origin reports about itself; no row: nothing.");
    Family ordered = gauge("nearhop_origin_override", "1 for the operator's order in force, 0 for the others.");
    Family checks =
        gauge("nearhop_origin_check", "1 while the check of the origin's health body is good, 0 while it fails.");
    Family missing = gauge("nearhop_origin_check_missing", "1 while the origin's health body does not have the check.");
    Family rtt = gauge("nearhop_origin_rtt_seconds", "Round trip from this edge, as probes' connects measured it.");
    Family addresses = gauge("nearhop_origin_addresses", "Addresses of the origin by their verdict.");
    Family dropped =
        gauge("nearhop_origin_addresses_dropped", "Addresses in DNS's last answer above dns.addresses: not used.");
    for (const auto& origin : status.origins) {
        for (const auto each : verdicts) {
            verdict.add({{"origin", origin.name}, {"verdict", health::name(each)}},
                        origin.state.verdict == each ? 1.0 : 0.0);
            double count = 0;
            for (const auto& address : origin.addresses) count += address.state.verdict == each ? 1 : 0;
            addresses.add({{"origin", origin.name}, {"verdict", health::name(each)}}, count);
        }
        ejected.add({{"origin", origin.name}}, origin.state.ejected ? 1.0 : 0.0);
        draining.add({{"origin", origin.name}}, origin.state.draining ? 1.0 : 0.0);
        share.add({{"origin", origin.name}}, origin.share);
        if (origin.state.agent != health::Agent::none)
            agent.add({{"origin", origin.name}, {"word", health::name(origin.state.agent)}}, 1.0);
        for (const auto order : {health::Override::drain, health::Override::force_up, health::Override::force_down})
            ordered.add({{"origin", origin.name}, {"override", health::name(order)}},
                        origin.by_operator && origin.by_operator->order == order ? 1.0 : 0.0);
        for (const auto& check : origin.checks) {
            const bool is_missing = check.state.last == health::Finding::missing;
            if (check.state.failing || !is_missing)
                checks.add({{"origin", origin.name}, {"check", check.name}}, check.state.failing ? 0.0 : 1.0);
            missing.add({{"origin", origin.name}, {"check", check.name}}, is_missing ? 1.0 : 0.0);
        }
        if (origin.rtt_ms >= 0) rtt.add({{"origin", origin.name}}, origin.rtt_ms / 1000);
        dropped.add({{"origin", origin.name}}, std::uint64_t{origin.dns_dropped});
    }
    take_all(out, verdict, ejected, draining, share, agent, ordered, checks, missing, rtt, addresses, dropped);
}

void add_figures(Families& out, const control::Control::Status& status) {
    Family changes = counter("nearhop_verdict_changes_total", "Changes of the origin's verdict, by the new one.");
    Family ejections =
        counter("nearhop_origin_ejections_total", "Times that failures of live traffic ejected the origin.");
    Family probes = counter("nearhop_probes_total", "Probes by result: passed, or why not.");
    Family phases = histogram("nearhop_probe_phase_seconds", "Time of each phase of resolving and probing.");
    Family resolves = counter("nearhop_resolves_total", "DNS questions about the origin's name.");
    Family moves = counter("nearhop_origin_address_changes_total", "Times that DNS gave another set of addresses.");
    Family detection = histogram("nearhop_origin_detection_seconds",
                                 "From the first failure that counted until the origin was out because of it.");
    Family recovery = histogram("nearhop_origin_recovery_seconds",
                                "From the first good probe of an origin that was out until all its clients are back.");
    for (const auto& [origin, figures] : status.figures) {
        for (const auto each : verdicts)
            changes.add({{"origin", origin}, {"verdict", health::name(each)}},
                        figures.changes[static_cast<std::size_t>(each)]);
        ejections.add({{"origin", origin}}, figures.ejections);
        for (std::size_t i = 0; i < figures.probes.size(); ++i) {
            const auto result = static_cast<health::Reason>(i);
            if (result == health::Reason::passed || figures.probes[i] != 0)
                probes.add({{"origin", origin}, {"result", health::name(result)}}, figures.probes[i]);
        }
        phases.add({{"origin", origin}, {"phase", "resolve"}}, figures.resolve);
        phases.add({{"origin", origin}, {"phase", "connect"}}, figures.connect);
        phases.add({{"origin", origin}, {"phase", "tls"}}, figures.tls);
        phases.add({{"origin", origin}, {"phase", "first_byte"}}, figures.first_byte);
        resolves.add({{"origin", origin}, {"result", "ok"}}, figures.resolves_ok);
        resolves.add({{"origin", origin}, {"result", "failed"}}, figures.resolves_failed);
        moves.add({{"origin", origin}}, figures.address_changes);
        detection.add({{"origin", origin}}, figures.detection);
        recovery.add({{"origin", origin}}, figures.recovery);
    }
    take_all(out, changes, ejections, probes, phases, resolves, moves, detection, recovery);
}

void add_pools(Families& out, const shared::Registry& registry) {
    Family connections = gauge("nearhop_pool_connections", "Connections to the origin, waiting or in use.");
    Family opened = counter("nearhop_pool_opened_total", "Connections made to the origin.");
    Family reused = counter("nearhop_pool_reused_total", "Attempts that went over a kept-alive connection.");
    Family stalls = counter("nearhop_origin_stalls_total",
                            "Times that requests to the origin waited and no answer came, by worker.");
    for (const auto& [origin, blocks] : registry.pools()) {
        account::PoolCounters sum;
        for (const auto& block : blocks) {
            if (!block) continue;
            sum.idle.add(block->idle.get());
            sum.active.add(block->active.get());
            sum.opened.add(block->opened.get());
            sum.reused.add(block->reused.get());
            sum.stalls.add(block->stalls.get());
        }
        connections.add({{"origin", origin}, {"state", "idle"}}, sum.idle.get());
        connections.add({{"origin", origin}, {"state", "active"}}, sum.active.get());
        opened.add({{"origin", origin}}, sum.opened.get());
        reused.add({{"origin", origin}}, sum.reused.get());
        stalls.add({{"origin", origin}}, sum.stalls.get());
    }
    take_all(out, connections, opened, reused, stalls);
}

/// Of origins with a capacity, and of those that had one.
void add_loads(Families& out, const shared::Registry& registry, const control::Control::Status& status) {
    Family capacity = gauge("nearhop_origin_capacity", "Requests that the origin may have in flight from this edge.");
    Family in_flight = gauge("nearhop_origin_in_flight", "Requests in flight at an origin with a capacity.");
    Family queued = gauge("nearhop_origin_queued", "Requests that wait for room at the origin now.");
    Family waited = counter("nearhop_origin_queued_total", "Requests that had to wait for room at the origin.");
    Family refused = counter("nearhop_origin_full_total", "Requests refused because the origin was at its capacity.");
    for (const auto& [origin, load] : registry.loads()) {
        if (load->capacity() == 0 && load->waited.load() == 0) continue;
        capacity.add({{"origin", origin}}, std::uint64_t{load->capacity()});
        in_flight.add({{"origin", origin}}, std::uint64_t{load->in_flight()});
        queued.add({{"origin", origin}}, std::uint64_t{load->queued()});
        waited.add({{"origin", origin}}, load->waited.load());
        refused.add({{"origin", origin}, {"why", "queue_full"}}, load->refused_at_once.load());
        refused.add({{"origin", origin}, {"why", "queue_time"}}, load->refused_later.load());
    }
    Family survivable = gauge("nearhop_survivable",
                              "1 while the other origins could carry what this one does, 0 while they could not.");
    for (const auto& row : status.headroom) survivable.add({{"lost_origin", row.origin}}, row.survivable ? 1.0 : 0.0);
    take_all(out, capacity, in_flight, queued, waited, refused, survivable);
}

}  // namespace

void add_origins(Families& out, const shared::Registry& registry, const control::Control::Status& status) {
    add_states(out, status);
    add_figures(out, status);
    add_pools(out, registry);
    add_loads(out, registry, status);
}

}  // namespace nearhop::admin
