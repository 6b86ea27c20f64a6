#include "proxy/run/commands.h"
#include "proxy/simulate/read.h"
#include "proxy/simulate/report.h"
#include "proxy/simulate/simulate.h"

#include <cstdio>

namespace nearhop::run {

int simulate_file(const std::string& file, bool json) {
    const auto read = simulate::read_scenario_file(file);
    for (const auto& [where, problem] : read.problems)
        std::fprintf(stderr, "%s\n", conf::to_string(problem, where).c_str());
    if (!read.scenario) return exit_usage;
    const auto outcome = simulate::simulate(*read.scenario);
    const auto report = simulate::report_of(*read.scenario, outcome);
    std::fputs((json ? report_json(report) : report_text(report)).c_str(), stdout);
    return report.holds() ? exit_ok : exit_failed;
}

}  // namespace nearhop::run
