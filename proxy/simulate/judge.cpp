#include "proxy/simulate/condition.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

/// What a sentence measures, and whether it holds.
namespace nearhop::simulate {
namespace {

using Measure = Condition::Measure;
using Comparison = Condition::Comparison;

bool concerns(const Condition& condition, const Request& request) {
    if (request.began < condition.from || request.began >= condition.to) return false;
    if (condition.method && *condition.method != request.method) return false;
    return !condition.group || condition.group->holds(geo::Country::from_index(request.country));
}

bool holds(Comparison comparison, double measured, double wanted) {
    switch (comparison) {
        case Comparison::at_most: return measured <= wanted;
        case Comparison::at_least: return measured >= wanted;
        case Comparison::below: return measured < wanted;
        case Comparison::above: return measured > wanted;
        case Comparison::equal: return measured == wanted;
    }
    return false;
}

std::string text_of(Measure measure, double value) {
    char text[64];
    switch (measure) {
        case Measure::share: std::snprintf(text, sizeof text, "%.1f%%", value); break;
        case Measure::slowest: std::snprintf(text, sizeof text, "%.3fs", value); break;
        case Measure::rate: std::snprintf(text, sizeof text, "%.0f/s", value); break;
        default: std::snprintf(text, sizeof text, "%.0f", value);
    }
    return text;
}

/// What speaks against a sentence most: the largest value for an upper bound, the smallest for a lower one.
class Worst {
public:
    explicit Worst(const Condition& condition) : condition_{condition} {}
    void add(double value) {
        if (!worst_ || speaks_more(value, *worst_)) worst_ = value;
    }
    const std::optional<double>& get() const noexcept { return worst_; }

private:
    bool speaks_more(double value, double than) const {
        switch (condition_.comparison) {
            case Comparison::at_most:
            case Comparison::below: return value > than;
            case Comparison::at_least:
            case Comparison::above: return value < than;
            case Comparison::equal: break;
        }
        return std::abs(value - condition_.value) > std::abs(than - condition_.value);
    }

    const Condition& condition_;
    std::optional<double> worst_;
};

std::optional<double> worst_share(const Condition& condition, const Outcome& outcome) {
    struct Interval {
        double all = 0, on_origin = 0;
    };
    std::map<std::int64_t, Interval> intervals;
    for (const auto& request : outcome.requests) {
        if (!concerns(condition, request)) continue;
        auto& interval = intervals[(request.began - condition.from) / outcome.interval];
        ++interval.all;
        if (request.served == condition.origin) ++interval.on_origin;
    }
    Worst worst{condition};
    for (const auto& [number, interval] : intervals) worst.add(100 * interval.on_origin / interval.all);
    return worst.get();
}

std::optional<double> most_switches(const Condition& condition, const Outcome& outcome) {
    // In the order in which the client asked: a slow answer may be over after a later one.
    std::vector<const Request*> requests;
    for (const auto& request : outcome.requests)
        if (request.served != no_origin && concerns(condition, request)) requests.push_back(&request);
    std::stable_sort(requests.begin(), requests.end(), [](const Request* a, const Request* b) {
        return a->client != b->client ? a->client < b->client : a->began < b->began;
    });
    if (requests.empty()) return std::nullopt;
    Worst worst{condition};
    double switches = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const bool same_client = i > 0 && requests[i]->client == requests[i - 1]->client;
        switches = same_client ? switches + (requests[i]->served != requests[i - 1]->served ? 1 : 0) : 0;
        const bool last = i + 1 == requests.size() || requests[i + 1]->client != requests[i]->client;
        if (last) worst.add(switches);
    }
    return worst.get();
}

std::optional<double> busiest_second(const Condition& condition, const Outcome& outcome) {
    Worst worst{condition};
    const auto& attempts = outcome.attempts[condition.origin];
    for (std::size_t second = 0; second < attempts.size(); ++second) {
        const microseconds begins = std::chrono::seconds{second};
        if (begins >= condition.from && begins + std::chrono::seconds{1} <= std::min(condition.to, outcome.duration))
            worst.add(attempts[second]);
    }
    return worst.get();
}

std::optional<double> count(const Condition& condition, const Outcome& outcome) {
    bool any = false;
    double found = 0;
    for (const auto& request : outcome.requests) {
        if (!concerns(condition, request)) continue;
        any = true;
        bool counts = true;
        switch (condition.measure) {
            case Measure::errors: counts = request.failed(); break;
            case Measure::slower: counts = request.took > condition.slower_than; break;
            case Measure::moved: counts = request.moved; break;
            case Measure::hedged: counts = request.hedged; break;
            case Measure::double_executions: counts = request.twice; break;
            default: break;
        }
        if (counts) ++found;
    }
    return any ? std::optional{found} : std::nullopt;
}

std::optional<double> slowest(const Condition& condition, const Outcome& outcome) {
    std::optional<double> longest;
    for (const auto& request : outcome.requests)
        if (concerns(condition, request))
            longest = std::max(longest.value_or(0), std::chrono::duration<double>{request.took}.count());
    return longest;
}

std::optional<double> measure(const Condition& condition, const Outcome& outcome) {
    switch (condition.measure) {
        case Measure::share: return worst_share(condition, outcome);
        case Measure::switches: return most_switches(condition, outcome);
        case Measure::rate: return busiest_second(condition, outcome);
        case Measure::slowest: return slowest(condition, outcome);
        default: return count(condition, outcome);
    }
}

}  // namespace

Verdict judge(const Condition& condition, const Outcome& outcome) {
    const auto measured = measure(condition, outcome);
    if (!measured) return {false, "nothing to measure"};
    return {holds(condition.comparison, *measured, condition.value), text_of(condition.measure, *measured)};
}

}  // namespace nearhop::simulate
