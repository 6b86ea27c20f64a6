#pragma once

#include "conf/problem.h"
#include "proxy/simulate/group.h"
#include "proxy/simulate/outcome.h"
#include "proxy/steering/table.h"

#include <optional>
#include <string>

/// The sentences under `assert`:
///
///     ASSERT  = MEASURE ("<=" | ">=" | "<" | ">" | "=") VALUE [WHEN]
///     MEASURE = "share of" GROUP "clients on" ORIGIN      largest or smallest share in any interval, percent
///             | "requests" [OF] | "errors" [OF]           how many
///             | "requests slower than" TIME [OF]          how many
///             | "slowest request" [OF]                    time to the answer
///             | "switches of" GROUP ["clients"]           of the client that changed its origin most often
///             | "rate on" ORIGIN                          attempts in its busiest second
///             | "moved requests" [OF]                     asked again, or elsewhere, after a failure
///             | "hedged requests" [OF]                    that a second origin was asked for beside a late first one
///             | "double executions"                       POST that may have been executed a second time
///     OF      = "of" METHOD | "of" GROUP ["clients"]
///     WHEN    = "after" TIME | "before" TIME | "from" TIME "to" TIME
///     TIME    = ["t="] number, unit (ms, s, m, h): t=12s, 1.5s
namespace nearhop::simulate {

struct Condition {
    enum class Measure { share, requests, errors, slower, slowest, switches, rate, moved, hedged, double_executions };
    enum class Comparison { at_most, at_least, below, above, equal };

    std::string text;
    Measure measure = Measure::errors;
    std::optional<Group> group;
    std::optional<Method> method;
    geo::OriginId origin = 0;
    microseconds slower_than{};
    Comparison comparison = Comparison::at_most;
    double value = 0;                                ///< percent, a count, or seconds
    microseconds from{0}, to = microseconds::max();  ///< of requests that began in it
};

/// Reads one sentence. What is wrong goes to `problem`: one clause with what was found, wanted and a near miss.
std::optional<Condition> parse_condition(const std::string& text, const conf::Config& config, std::string& problem);

struct Verdict {
    bool holds = false;
    std::string measured;  ///< as it would be written in the sentence
};
/// A sentence about no request at all does not hold: it is probably not what was meant.
Verdict judge(const Condition& condition, const Outcome& outcome);

}  // namespace nearhop::simulate
