#include "proxy/admin/family.h"
#include "proxy/shared/snapshot.h"

#include <array>
#include <map>
#include <numeric>
#include <string>
#include <utility>

namespace nearhop::admin {
namespace {

constexpr std::array<std::string_view, account::status_classes> class_names{"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

/// One pair of site and origin, added up over the workers.
struct Traffic {
    std::array<std::array<std::uint64_t, account::status_classes>, account::reason_count> requests{};
    std::array<std::uint64_t, account::fault_count> attempts{};
    std::array<std::uint64_t, account::fault_count> moved_away{};
    std::array<std::uint64_t, account::reason_count> passed_over{}, stood_in{};
    std::uint64_t spilled = 0, hedges = 0, hedges_won = 0;
    control::PhaseHistogram duration, head;
};

void add(control::PhaseHistogram& to, const account::Histogram& from) {
    for (std::size_t i = 0; i < to.buckets.size(); ++i) to.buckets[i] += from.buckets[i].get();
    to.sum += static_cast<double>(from.sum_micros.get()) / 1e6;
}

void add(Traffic& to, const account::OriginCounters& from) {
    for (std::size_t reason = 0; reason < account::reason_count; ++reason) {
        for (std::size_t i = 0; i < account::status_classes; ++i)
            to.requests[reason][i] += from.requests[reason][i].get();
        to.passed_over[reason] += from.passed_over[reason].get();
        to.stood_in[reason] += from.stood_in[reason].get();
    }
    for (std::size_t fault = 0; fault < account::fault_count; ++fault) {
        to.attempts[fault] += from.attempts[fault].get();
        to.moved_away[fault] += from.moved_away[fault].get();
    }
    to.spilled += from.spilled.get();
    to.hedges += from.hedges.get();
    to.hedges_won += from.hedges_won.get();
    add(to.duration, from.duration);
    add(to.head, from.head);
}

void add(account::SiteCounters& to, const account::SiteCounters& from) {
    for (std::size_t i = 0; i < account::stay_count; ++i) to.not_moved[i].add(from.not_moved[i].get());
    for (std::size_t i = 0; i < account::moved_count; ++i) to.moved[i].add(from.moved[i].get());
    to.retry_tokens.add(from.retry_tokens.get());
    for (std::size_t i = 0; i < account::fault_count; ++i)
        if (const auto count = from.own_answers[i].get(); count != 0) to.own_answers[i].add(count);
}

steering::Reason first_reason(conf::Policy policy) noexcept {
    switch (policy) {
        case conf::Policy::nearest: return steering::Reason::nearest;
        case conf::Policy::country: return steering::Reason::country_map;
        case conf::Policy::failover: return steering::Reason::failover_order;
        case conf::Policy::latency: return steering::Reason::lowest_latency;
    }
    return steering::Reason::nearest;
}

std::uint64_t count_of(const control::PhaseHistogram& histogram) noexcept {
    return std::accumulate(histogram.buckets.begin(), histogram.buckets.end(), std::uint64_t{0});
}

using Pair = std::pair<std::string, std::string>;

void add_requests(Families& out, const std::map<Pair, Traffic>& traffic,
                  const std::map<Pair, steering::Reason>& members) {
    Family requests = counter("nearhop_requests_total",
                              "Exchanges by site, origin that answered, why it was chosen, and class of the status.");
    Family duration = histogram("nearhop_request_duration_seconds",
                                "From the request head received to the last byte of the answer handed to the client.");
    Family head = histogram("nearhop_origin_head_seconds",
                            "From the request sent to the head of the origin's answer, last attempt.");
    Family attempts = counter("nearhop_attempts_total", "Attempts at origins by how they ended: ok or a fault code.");
    for (const auto& [pair, sum] : traffic) {
        const auto& [site, origin] = pair;
        const auto member = members.find(pair);
        for (std::size_t reason = 0; reason < account::reason_count; ++reason)
            for (std::size_t i = 0; i < account::status_classes; ++i) {
                // A series that is there before it counts, so that rate() sees the first request.
                const auto which = static_cast<steering::Reason>(reason);
                const bool expected = member != members.end() && member->second == which && i == 2;
                if (expected || sum.requests[reason][i] != 0)
                    requests.add({{"site", site},
                                  {"origin", origin},
                                  {"reason", steering::name(which)},
                                  {"class", class_names[i]}},
                                 sum.requests[reason][i]);
            }
        // Sixteen lines each, which pairs that never met are spared.
        if (count_of(sum.duration) != 0) duration.add({{"site", site}, {"origin", origin}}, sum.duration);
        if (count_of(sum.head) != 0) head.add({{"site", site}, {"origin", origin}}, sum.head);
        attempts.add({{"site", site}, {"origin", origin}, {"result", "ok"}}, sum.attempts[0]);
        for (std::size_t fault = 1; fault < account::fault_count; ++fault)
            attempts.add_unless_zero({{"site", site},
                                      {"origin", origin},
                                      {"result", account::info(static_cast<account::Fault>(fault)).code}},
                                     sum.attempts[fault]);
    }
    take_all(out, requests, duration, head, attempts);
}

void add_moves(Families& out, const std::map<Pair, Traffic>& traffic) {
    Family failovers = counter("nearhop_failovers_total",
                               "Attempts after which an exchange moved away from the origin, by why: a fault code, or "
                               "status for an answered 421, 502, 503 or 504.");
    Family spilled = counter("nearhop_origin_spilled_total",
                             "Requests that went elsewhere because the origin was near its capacity.");
    Family passed = counter("nearhop_passed_over_total",
                            "Requests whose first choice was the origin and that it did not serve, by "
                            "why.");
    Family stood = counter("nearhop_stood_in_total",
                           "Requests that the origin answered for another one, the policy's first choice, by why.");
    Family hedges = counter("nearhop_hedges_total", "Requests sent to the origin because another one was late.");
    Family won = counter("nearhop_hedges_won_total", "Hedges that the origin answered first.");
    for (const auto& [pair, sum] : traffic) {
        const auto& [site, origin] = pair;
        failovers.add({{"site", site}, {"origin", origin}, {"fault", "status"}}, sum.moved_away[0]);
        for (std::size_t fault = 1; fault < account::fault_count; ++fault)
            failovers.add_unless_zero(
                {{"site", site}, {"origin", origin}, {"fault", account::info(static_cast<account::Fault>(fault)).code}},
                sum.moved_away[fault]);
        spilled.add({{"site", site}, {"origin", origin}}, sum.spilled);
        for (std::size_t reason = 0; reason < account::reason_count; ++reason) {
            const auto why = steering::name(static_cast<steering::Reason>(reason));
            passed.add_unless_zero({{"site", site}, {"origin", origin}, {"why", why}}, sum.passed_over[reason]);
            stood.add_unless_zero({{"site", site}, {"origin", origin}, {"why", why}}, sum.stood_in[reason]);
        }
        hedges.add({{"site", site}, {"origin", origin}}, sum.hedges);
        won.add({{"site", site}, {"origin", origin}}, sum.hedges_won);
    }
    take_all(out, failovers, passed, stood, spilled, hedges, won);
}

void add_sites(Families& out, const shared::Snapshot& snapshot, const shared::Registry& registry) {
    Family not_moved = counter("nearhop_not_moved_total",
                               "Exchanges that failed at an origin and were not moved to another one, by why.");
    Family moved = counter("nearhop_moved_requests_total", "Exchanges that moved to another origin, by outcome.");
    Family tokens = gauge("nearhop_retry_budget_tokens",
                          "Moves after bytes were sent that the site may make now, all workers together.");
    Family own = counter("nearhop_own_answers_total", "Errors that the edge itself answered, by fault.");
    std::map<std::string, account::SiteCounters> sums;
    for (const auto& site : snapshot.routing->table->sites)
        if (sums.size() < registry.most_rows()) sums[site.name];
    for (const auto& [site, blocks] : registry.sites())
        for (const auto& block : blocks)
            if (block) add(sums[site], *block);
    for (const auto& [site, counted] : sums) {
        const account::SiteCounters& sum = counted;  // looking makes no rows in it
        for (std::size_t i = 0; i < account::stay_count; ++i)
            not_moved.add({{"site", site}, {"why", name(static_cast<account::Stay>(i))}}, sum.not_moved[i].get());
        for (std::size_t i = 0; i < account::moved_count; ++i)
            moved.add({{"site", site}, {"outcome", name(static_cast<account::Moved>(i))}}, sum.moved[i].get());
        if (site != shared::other_sites)
            tokens.add({{"site", site}}, sum.retry_tokens.get());  // several sites together have no one budget
        for (std::size_t i = 0; i < account::fault_count; ++i)
            own.add_unless_zero({{"site", site}, {"fault", account::info(static_cast<account::Fault>(i)).code}},
                                sum.own_answers[i].get());
    }
    take_all(out, moved, not_moved, tokens, own);
}

}  // namespace

void add_traffic(Families& out, const shared::Snapshot& snapshot, const shared::Registry& registry) {
    std::map<Pair, Traffic> traffic;
    std::map<Pair, steering::Reason> members;
    const auto& table = *snapshot.routing->table;
    for (const auto& site : table.sites)
        for (const auto id : site.origins) {
            if (traffic.size() >= registry.most_rows()) break;  // beyond it they are other_sites
            const Pair pair{site.name, table.origins[id].name};
            members[pair] = first_reason(site.policy);
            traffic[pair];
        }
    for (const auto& [pair, blocks] : registry.origins())
        for (const auto& block : blocks)
            if (block) add(traffic[pair], *block);
    add_requests(out, traffic, members);
    add_moves(out, traffic);
    add_sites(out, snapshot, registry);
}

}  // namespace nearhop::admin
