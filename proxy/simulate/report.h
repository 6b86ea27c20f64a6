#pragma once

#include "proxy/simulate/outcome.h"
#include "proxy/simulate/scenario.h"

#include <string>
#include <vector>

namespace nearhop::simulate {

/// Everything that is shown of a run.
struct Report {
    const Scenario& scenario;
    const Outcome& outcome;
    std::vector<Verdict> verdicts;  ///< one for each condition

    bool holds() const;
};
Report report_of(const Scenario& scenario, const Outcome& outcome);

std::string report_text(const Report& report);
std::string report_json(const Report& report);

}  // namespace nearhop::simulate
