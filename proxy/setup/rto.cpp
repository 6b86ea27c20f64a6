#include "proxy/setup/rto.h"

#include "conf/syntax.h"
#include "proxy/origin/connection.h"
#include "proxy/steering/coverage.h"

#include <algorithm>
#include <string_view>

namespace nearhop::setup {
namespace {

using std::chrono::milliseconds;

bool names(const std::vector<conf::At<std::string>>& origins, const std::string& name) {
    return std::any_of(origins.begin(), origins.end(), [&](const auto& each) { return *each == name; });
}

health::RtoFacts facts_of(const conf::Origin& origin, const conf::Failover& failover,
                          const conf::ExchangeLimits& limits) {
    const auto& probe = origin.health;
    health::RtoFacts facts;
    facts.intervals = {probe.interval, probe.interval_transitional, probe.interval_down, probe.jitter};
    facts.probe_timeout = *probe.timeout;
    facts.fall = probe.fall;
    // A name may have a second address, which is dialled while the first one hangs.
    facts.dial = failover.second_address_after + (origin.url->tls ? failover.tls_timeout : failover.connect_timeout);
    facts.head_timeout = limits.head_timeout;
    facts.deadline = *limits.deadline;
    facts.stale = origin::stale_within;
    return facts;
}

std::string cut_to_tenths(milliseconds time) {
    const auto tenths = (time.count() + 99) / 100;  // rounded up: it is a bound
    return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + 's';
}

}  // namespace

std::vector<OriginRto> rto_of(const conf::Config& config) {
    std::vector<OriginRto> all;
    for (const auto& origin : config.origins) {
        OriginRto worst;
        worst.origin = origin.name;
        bool used = false;
        const auto add = [&](const conf::ExchangeLimits& limits) {
            const auto bound = health::rto_bound(facts_of(origin, config.failover, limits));
            if (bound.total >= worst.bound.total) worst.bound = bound;
            worst.deadline = std::max(worst.deadline, *limits.deadline);
            used = true;
        };
        for (const auto& site : config.sites) {
            if (!names(site.origins, origin.name)) continue;
            add(site.limits);
            for (const auto& route : site.routes)
                if (route.origins.empty() || names(route.origins, origin.name)) add(route.limits);
            // With one candidate, sent requests or unsent ones stay where they are.
            const bool moves = config.failover.enabled && config.failover.connect_candidates > 1 &&
                               config.failover.sent_candidates > 1;
            if (worst.alone_in.empty() && (site.origins.size() < 2 || !moves)) worst.alone_in = site.name;
        }
        if (used) all.push_back(std::move(worst));
    }
    return all;
}

void check_rto(const conf::Config& config, conf::Problems& problems) {
    const auto all = rto_of(config);
    for (const auto& origin : config.origins) {
        if (!origin.rto_target) continue;
        const auto found =
            std::find_if(all.begin(), all.end(), [&](const OriginRto& each) { return each.origin == origin.name; });
        if (found == all.end()) continue;
        const auto& target = *origin.rto_target;
        std::string what;
        if (!found->alone_in.empty())
            what = config.failover.enabled ? "no other origin takes over in site " + found->alone_in
                                           : "no other origin takes over while failover.enabled is false";
        else if (found->bound.total > *target)
            what = "want at most " + conf::to_string(*target) + " until a failure is over, found up to " +
                   cut_to_tenths(found->bound.total) + ": " + cut_to_tenths(found->bound.detection) +
                   " to notice (health) and " + cut_to_tenths(found->bound.delay) +
                   " that a request may wait (failover, head_timeout)";
        else
            continue;
        problems.push_back({conf::Severity::error, target.mark, target.path, "origin " + origin.name + ": " + what});
    }
}

std::string rto_text(const conf::Config& config, const steering::Table& table) {
    std::string text = "when an origin dies, at worst:\n";
    for (const auto& each : rto_of(config)) {
        const auto known = std::find_if(table.origins.begin(), table.origins.end(),
                                        [&](const auto& origin) { return origin.name == each.origin; });
        const auto id = static_cast<geo::OriginId>(known - table.origins.begin());
        const std::string alone = each.alone_in.empty() ? steering::alone_for(id, config, table) : std::string{};
        text += "  " + each.origin + ": verdict down after " + cut_to_tenths(each.bound.detection);
        if (each.alone_in.empty())
            text += "; until then a request may wait " + cut_to_tenths(each.bound.delay) +
                    " for another origin, or fail after " + conf::to_string(each.deadline) +
                    " if it may not move; over after " + cut_to_tenths(each.bound.total) +
                    (alone.empty() ? "" : ", but no origin takes over for " + alone);
        else
            text += "; no origin takes over in site " + each.alone_in;
        text += '\n';
    }
    return text;
}

}  // namespace nearhop::setup
