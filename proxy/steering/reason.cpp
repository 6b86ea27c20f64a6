#include "proxy/steering/decision.h"

namespace nearhop::steering {

std::string_view name(Reason reason) noexcept {
    switch (reason) {
        case Reason::nearest: return "nearest";
        case Reason::next_nearest: return "next_nearest";
        case Reason::lowest_latency: return "lowest_latency";
        case Reason::next_latency: return "next_latency";
        case Reason::country_map: return "country_map";
        case Reason::unlocated: return "unlocated";
        case Reason::failover_order: return "failover_order";
        case Reason::override_order: return "override_order";
        case Reason::writer: return "writer";
        case Reason::pinned: return "pinned";
        case Reason::degraded: return "degraded";
        case Reason::unknown: return "unknown";
        case Reason::returning: return "returning";
        case Reason::last_eligible: return "last_eligible";
        case Reason::all_down_open: return "all_down_open";
        case Reason::forbidden_route: return "forbidden_route";
        case Reason::forbidden_write: return "forbidden_write";
        case Reason::forbidden_country: return "forbidden_country";
        case Reason::down: return "down";
        case Reason::ejected: return "ejected";
        case Reason::draining: return "draining";
        case Reason::local_skip: return "local_skip";
        case Reason::stalled: return "stalled";
        case Reason::on_trial: return "on_trial";
        case Reason::spilled: return "spilled";
        case Reason::busy: return "busy";
        case Reason::full: return "full";
        case Reason::key_pinned: return "key_pinned";
        case Reason::leaving: return "leaving";
        case Reason::check_overruled: return "check_overruled";
        case Reason::agent_draining: return "agent_draining";
        case Reason::check_failed: return "check_failed";
        case Reason::forced_down: return "forced_down";
        case Reason::failed: return "failed";
        case Reason::late: return "late";
        case Reason::surplus: return "surplus";
    }
    return "?";
}

namespace {

/// Of the first candidate: what would otherwise tell of better ones says that there are none. Empty: nothing changes.
std::string_view describe_first(Reason reason) noexcept {
    switch (reason) {
        case Reason::degraded: return "degraded, but no origin that is up may serve this request";
        case Reason::unknown: return "no verdict yet, and no origin that may serve this request is up or degraded";
        case Reason::returning:
            return "healthy again, and its clients return in steps; this one returns early, because no better origin "
                   "is "
                   "left";
        case Reason::local_skip: return "just refused a connection, but no better origin is left";
        case Reason::stalled: return "just left several requests without an answer, but no better origin is left";
        case Reason::on_trial:
            return "back from an ejection, and another request is trying it out, but no better origin is left";
        case Reason::busy: return "above 80 % of its capacity, and no origin that may serve has more room";
        case Reason::full: return "at its capacity, and no better origin is left: the request waits for room";
        default: return {};
    }
}

}  // namespace

std::string_view describe(Reason reason, bool is_first) noexcept {
    if (const auto text = is_first ? describe_first(reason) : std::string_view{}; !text.empty()) return text;
    switch (reason) {
        case Reason::nearest: return "first by distance";
        case Reason::next_nearest: return "next by distance";
        case Reason::lowest_latency: return "as fast as the fastest, and first by weight and configuration";
        case Reason::next_latency: return "next by latency";
        case Reason::country_map: return "listed for the client's country, group, continent or by default";
        case Reason::unlocated: return "the client's place is unknown: listed in the site's unlocated";
        case Reason::failover_order: return "in configuration order";
        case Reason::override_order: return "listed by the operator's override of this address";
        case Reason::writer: return "takes writes";
        case Reason::pinned: return "the route names it";
        case Reason::degraded: return "degraded: after origins that are up";
        case Reason::unknown: return "no verdict yet: after origins that are up or degraded";
        case Reason::returning: return "healthy again, and its clients return in steps: this one has not returned yet";
        case Reason::last_eligible: return "ejected, but no better origin is left";
        case Reason::all_down_open: return "down, but all origins are, and the site tries them anyway";
        case Reason::forbidden_route: return "the route allows other origins only";
        case Reason::forbidden_write: return "takes no writes";
        case Reason::forbidden_country: return "not allowed for the client's country";
        case Reason::down: return "down";
        case Reason::ejected: return "ejected by live traffic";
        case Reason::draining: return "draining: takes no new requests";
        case Reason::local_skip: return "just refused a connection: after every other origin";
        case Reason::stalled: return "just left several requests without an answer: after every other origin";
        case Reason::on_trial: return "back from an ejection, and another request is trying it out";
        case Reason::spilled: return "first origin with room: a better one is near its capacity";
        case Reason::busy: return "above 80 % of its capacity: after origins with room";
        case Reason::full: return "at its capacity: requests must wait";
        case Reason::key_pinned: return "an earlier request with the same Idempotency-Key went there";
        case Reason::leaving: return "drains itself, but no better origin is left";
        case Reason::check_overruled:
            return "a check that this request needs fails there, but no better origin is left";
        case Reason::agent_draining: return "drains itself";
        case Reason::check_failed: return "a check that this request needs fails there";
        case Reason::forced_down: return "forced down by the operator: takes no new requests";
        case Reason::failed: return "it was tried first, and the request moved";
        case Reason::late: return "it was tried first, and the hedge was faster";
        case Reason::surplus: return "would serve, but three candidates are enough";
    }
    return "?";
}

}  // namespace nearhop::steering
