#include "proxy/simulate/report.h"

#include "conf/syntax.h"
#include "proxy/wire/json_text.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace nearhop::simulate {
namespace {

/// What happened to the requests that began in one interval.
struct Row {
    std::uint64_t requests = 0, errors = 0;
    microseconds slowest{};
    std::vector<std::uint64_t> served;  ///< by origin

    double share(std::size_t origin) const {
        return requests == 0 ? 0 : 100.0 * static_cast<double>(served[origin]) / static_cast<double>(requests);
    }
};

struct Totals {
    std::uint64_t requests = 0, errors = 0, moved = 0, double_executions = 0;
    microseconds slowest{};
};

Totals totals_of(const Outcome& outcome) {
    Totals totals;
    for (const auto& request : outcome.requests) {
        ++totals.requests;
        totals.errors += request.failed() ? 1 : 0;
        totals.moved += request.moved ? 1 : 0;
        totals.double_executions += request.twice ? 1 : 0;
        totals.slowest = std::max(totals.slowest, request.took);
    }
    return totals;
}

std::vector<Row> rows_of(const Outcome& outcome) {
    const auto count =
        static_cast<std::size_t>((outcome.duration + outcome.interval - microseconds{1}) / outcome.interval);
    std::vector<Row> rows(count);
    for (Row& row : rows) row.served.resize(outcome.origins.size());
    for (const auto& request : outcome.requests) {
        Row& row = rows[std::min(count - 1, static_cast<std::size_t>(request.began / outcome.interval))];
        ++row.requests;
        row.errors += request.failed() ? 1 : 0;
        row.slowest = std::max(row.slowest, request.took);
        if (request.served != no_origin) ++row.served[request.served];
    }
    return rows;
}

double seconds_of(microseconds time) { return std::round(std::chrono::duration<double>{time}.count() * 1e3) / 1e3; }
std::string milliseconds_text(microseconds time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3fs", std::chrono::duration<double>{time}.count());
    return text;
}

template <class... Values>
void print(std::string& out, const char* format, Values... values) {
    char line[256];
    out.append(line, static_cast<std::size_t>(std::clamp(std::snprintf(line, sizeof line, format, values...), 0,
                                                         static_cast<int>(sizeof line) - 1)));
}

}  // namespace

bool Report::holds() const {
    return std::all_of(verdicts.begin(), verdicts.end(), [](const Verdict& verdict) { return verdict.holds; });
}

Report report_of(const Scenario& scenario, const Outcome& outcome) {
    Report report{scenario, outcome, {}};
    for (const auto& condition : scenario.conditions) report.verdicts.push_back(judge(condition, outcome));
    return report;
}

std::string report_text(const Report& report) {
    const auto& outcome = report.outcome;
    const Totals totals = totals_of(outcome);
    std::string out = report.scenario.file + ": " + conf::to_string(report.scenario.duration) + ", seed " +
                      std::to_string(report.scenario.seed) + ": " + std::to_string(totals.requests) + " requests, " +
                      std::to_string(totals.errors) + " errors, slowest " + milliseconds_text(totals.slowest) + ", " +
                      std::to_string(totals.moved) + " moved, " + std::to_string(totals.double_executions) +
                      " double executions\n";
    out += "\ntimeline\n";
    for (const auto& happening : outcome.timeline)
        print(out, "%12s  ", milliseconds_text(happening.when).c_str()), out += happening.what + '\n';

    out += "\nrequests by the origin that answered\n";
    print(out, "%12s %9s %9s %9s", "from", "requests", "errors", "slowest");
    for (const auto& name : outcome.origins)
        print(out, "  %*s", static_cast<int>(std::max<std::size_t>(name.size(), 6)), name.c_str());
    out += '\n';
    const auto rows = rows_of(outcome);
    for (std::size_t number = 0; number < rows.size(); ++number) {
        const Row& row = rows[number];
        print(out, "%12s %9llu %9llu %9s",
              milliseconds_text(outcome.interval * static_cast<microseconds::rep>(number)).c_str(),
              static_cast<unsigned long long>(row.requests), static_cast<unsigned long long>(row.errors),
              milliseconds_text(row.slowest).c_str());
        for (std::size_t origin = 0; origin < outcome.origins.size(); ++origin)
            print(out, "  %*.1f%%", static_cast<int>(std::max<std::size_t>(outcome.origins[origin].size(), 6)) - 1,
                  row.share(origin));
        out += '\n';
    }

    if (!report.verdicts.empty()) out += "\nasserts\n";
    for (std::size_t i = 0; i < report.verdicts.size(); ++i) {
        const auto& verdict = report.verdicts[i];
        out += (verdict.holds ? "PASS  " : "FAIL  ") + report.scenario.conditions[i].text + "  (" + verdict.measured +
               ")\n";
    }
    return out;
}

std::string report_json(const Report& report) {
    namespace json = boost::json;
    const auto& outcome = report.outcome;
    const Totals totals = totals_of(outcome);
    json::array timeline;
    for (const auto& happening : outcome.timeline)
        timeline.push_back(json::object{{"t", seconds_of(happening.when)}, {"what", happening.what}});
    json::array intervals;
    const auto rows = rows_of(outcome);
    for (std::size_t number = 0; number < rows.size(); ++number) {
        const Row& row = rows[number];
        json::object served;
        for (std::size_t origin = 0; origin < outcome.origins.size(); ++origin)
            served[outcome.origins[origin]] = row.served[origin];
        intervals.push_back(json::object{{"t", seconds_of(outcome.interval * static_cast<microseconds::rep>(number))},
                                         {"requests", row.requests},
                                         {"errors", row.errors},
                                         {"slowest", seconds_of(row.slowest)},
                                         {"served", std::move(served)}});
    }
    json::array asserts;
    for (std::size_t i = 0; i < report.verdicts.size(); ++i)
        asserts.push_back(json::object{{"assert", report.scenario.conditions[i].text},
                                       {"holds", report.verdicts[i].holds},
                                       {"measured", report.verdicts[i].measured}});
    return wire::json_text(json::object{{"scenario", report.scenario.file},
                                        {"seed", report.scenario.seed},
                                        {"duration", seconds_of(report.scenario.duration)},
                                        {"requests", totals.requests},
                                        {"errors", totals.errors},
                                        {"slowest", seconds_of(totals.slowest)},
                                        {"moved", totals.moved},
                                        {"double_executions", totals.double_executions},
                                        {"timeline", std::move(timeline)},
                                        {"intervals", std::move(intervals)},
                                        {"asserts", std::move(asserts)},
                                        {"holds", report.holds()}}) +
           '\n';
}

}  // namespace nearhop::simulate
