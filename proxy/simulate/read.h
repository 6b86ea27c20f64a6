#pragma once

#include "conf/problem.h"
#include "proxy/simulate/scenario.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::simulate {

/// A problem with the file that it is in: the scenario, or the configuration that it names.
struct FileProblem {
    std::string file;
    conf::Problem problem;
};

struct ReadResult {
    std::optional<Scenario> scenario;  ///< set exactly when no problem is an error
    std::vector<FileProblem> problems;
};

/// Reads a scenario as conf::parse() reads a configuration: everything, or every problem with line and column.
ReadResult read_scenario(std::string_view yaml, const std::string& file);
ReadResult read_scenario_file(const std::string& file);

}  // namespace nearhop::simulate
