#include "conf/parse.h"
#include "proxy/run/commands.h"
#include "proxy/run/try_start.h"
#include "proxy/setup/build.h"
#include "proxy/setup/rto.h"
#include "proxy/steering/coverage.h"
#include "proxy/wire/stream.h"

#include <algorithm>
#include <cstdio>

namespace nearhop::run {

int check_file(const std::string& file) {
    wire::initialise_tls();
    auto checked = setup::load(file, wire::make_ticket_keys());
    if (checked.snapshot) try_start(checked.snapshot->routing->config, checked.problems);
    std::stable_sort(checked.problems.begin(), checked.problems.end(), conf::earlier);
    for (const auto& problem : checked.problems) std::fprintf(stderr, "%s\n", conf::to_string(problem, file).c_str());
    if (!checked.snapshot || conf::has_errors(checked.problems)) return exit_usage;

    const auto& routing = *checked.snapshot->routing;
    const std::size_t warnings = checked.problems.size();
    std::printf("%s: ok: %zu %s, %zu %s%s\n", file.c_str(), routing.table->sites.size(),
                routing.table->sites.size() == 1 ? "site" : "sites", routing.origins.size(),
                routing.origins.size() == 1 ? "origin" : "origins",
                warnings == 0   ? ""
                : warnings == 1 ? ", 1 warning"
                                : (", " + std::to_string(warnings) + " warnings").c_str());
    std::fputs(setup::rto_text(routing.config, *routing.table).c_str(), stdout);
    std::fputs(steering::residency_text(routing.config, *routing.table).c_str(), stdout);
    return exit_ok;
}

}  // namespace nearhop::run
