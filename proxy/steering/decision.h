#pragma once

#include "geo/locator.h"
#include "health/table.h"
#include "proxy/steering/table.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// The core: (request facts, routing table, health) -> decision with reasons. Pure, without allocation or clock.
/// The live proxy before each attempt, `explain`, the simulator, the admin endpoint and the tests all call decide().
namespace nearhop::steering {

/// Why an origin has its rank in the decision. A closed set: log field, metric label, explain output.
enum class Reason : std::uint8_t {
    nearest,         ///< candidate: first by distance
    next_nearest,    ///< candidate: next by distance
    lowest_latency,  ///< candidate under policy latency
    next_latency,
    country_map,      ///< candidate: listed for the client's country, group or continent, or by default row
    unlocated,        ///< candidate: the client's place is unknown, and the site's `unlocated` lists it
    failover_order,   ///< candidate: configuration order (policy failover, or place unknown)
    override_order,   ///< candidate: the operator's override of this address lists it
    writer,           ///< candidate: the request is a write and this origin takes writes
    pinned,           ///< candidate: the route names it
    degraded,         ///< candidate after every origin that is up
    unknown,          ///< candidate after every up and degraded origin: no verdict yet
    returning,        ///< candidate after those: healthy again, but this client has not returned yet
    local_skip,       ///< candidate after everything eligible: it just refused a connection of this worker
    stalled,          ///< the same: requests of this worker waited without an answer
    on_trial,         ///< the same: back from an ejection, one request at a time tries it out
    spilled,          ///< first candidate because a better one is busy or full
    busy,             ///< candidate after those with room: above 80 % of its capacity
    full,             ///< candidate after everything healthy: at its capacity, requests must wait
    key_pinned,       ///< the only candidate: the request's Idempotency-Key went there before
    leaving,          ///< candidate although it drains itself: no better origin is left
    check_overruled,  ///< candidate although a check that the request needs fails: no better origin is left
    last_eligible,    ///< candidate although ejected: no better origin is left
    all_down_open,    ///< candidate although down, by all_down: open
    // Not candidates:
    forbidden_route,    ///< the route allows other origins only
    forbidden_write,    ///< takes no writes
    forbidden_country,  ///< `only` forbids it for the client's country
    down,
    ejected,
    draining,
    agent_draining,  ///< drains itself
    check_failed,    ///< a check that the request needs fails there
    forced_down,     ///< by the operator
    // Only for a first choice that another origin replaced:
    failed,   ///< it was tried first, and the request moved
    late,     ///< it was tried first, and the hedge was faster
    surplus,  ///< would serve, but three candidates are enough
};
std::string_view name(Reason reason) noexcept;
/// A clause for people: "first by distance". `is_first`: of the first candidate, so no better origin is left.
std::string_view describe(Reason reason, bool is_first = false) noexcept;
constexpr bool is_forbidden(Reason reason) noexcept {
    return reason == Reason::forbidden_route || reason == Reason::forbidden_write ||
           reason == Reason::forbidden_country;
}

/// The facts of one request. Views must outlive the call only.
struct Facts {
    SiteId site = 0;
    std::string_view method;
    std::string_view path;   ///< target up to '?'
    std::uint16_t line = 0;  ///< the client's place in the line for an origin that comes back: line_of()
};

/// One origin of the site, in the order of the policy.
struct Considered {
    OriginId id = 0;
    Position position{};
    Reason reason = Reason::down;
    std::int32_t km = -1;  ///< distance from the client, -1: unknown
};

/// The same for one client (an IPv4 address, or the /64 of an IPv6 one) on every edge and after every restart: each
/// client goes back once. Spread evenly over all values.
std::uint16_t line_of(const geo::Address& client) noexcept;

inline constexpr std::size_t max_candidates = 3;

/// The first origin in the order of the site's policy, before rules and health.
struct FirstChoice {
    OriginId id = 0;
    std::optional<Reason> passed_over{};  ///< why it is not the first candidate; empty: it is
    Position position{};
};

struct Decision {
    SiteId site = 0;
    RouteId route = 0;
    std::uint8_t candidate_count = 0;
    std::array<Considered, max_candidates> candidates{};  ///< first choice first
    FirstChoice first;
    std::uint8_t considered_count = 0;
    std::array<Considered, conf::most_site_origins>
        considered{};  ///< every origin of the site: candidates and the others

    std::span<const Considered> chosen() const noexcept { return {candidates.data(), candidate_count}; }
    std::span<const Considered> all() const noexcept { return {considered.data(), considered_count}; }
};

/// What this edge itself knows of a site's origins now, beside their published health.
struct Local {
    OriginSet skips;     ///< an attempt of this worker just failed there
    OriginSet stalled;   ///< of those: requests waited without an answer
    OriginSet on_trial;  ///< of those: another request is trying it out
    OriginSet busy;      ///< at the soft bound of their capacity
    OriginSet full;      ///< at the hard one; in `busy` too or not, that makes no difference
};

/// What earlier attempts of the same request left behind. Empty before the first one.
struct Earlier {
    OriginSet tried;  ///< asked, and the request moved on: never candidates again
    OriginSet full;   ///< had no room when it was asked for, whatever Local says of them now
    /// Set where the request's Idempotency-Key is known: the only origin that may have the request, whatever its
    /// verdict. An empty set: it no longer belongs to the site.
    std::optional<OriginSet> pinned{};
};

/// Route, rules, order of the policy, standings, candidates (docs/decision.md tells the steps). Before the first
/// attempt of a request and, with what happened as `earlier`, before each further one. Writes into `decision` (reused
/// by the caller, so that 64 slots are not cleared per request). `facts.site` must be a site of `table`; an origin that
/// `health` does not know counts as unknown.
void decide(const Facts& facts, const geo::Place& place, const Table& table, const health::Table& health,
            const Local& local, const Earlier& earlier, Decision& decision) noexcept;

/// Why another origin than the first choice served (`served`; null: none did), or empty: it was the first choice.
/// `first` is as decided before the first attempt.
std::optional<Reason> passed_over(const FirstChoice& first, const Earlier& earlier, const Considered* served) noexcept;

}  // namespace nearhop::steering
