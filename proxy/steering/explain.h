#pragma once

#include "proxy/steering/decision.h"
#include "proxy/steering/locate.h"

#include <string>

namespace nearhop::steering {

/// Everything an explanation shows. The same printing serves the command line and the admin endpoint.
struct Explanation {
    std::string host, path, method;
    Located located;
    bool site_found = false;
    std::string refused;  ///< "path_reading: ..." if such a request gets 400 and no decision; docs/http.md
    Decision decision;
};

/// Step by step, for people.
std::string explain_text(const Explanation& what, const Table& table, const health::Table& health);
/// {"place": {...}, "site": ..., "route": ..., "candidates": [{"origin", "reason", "km", "rtt_ms", "verdict"}, ...],
///  "others": [...]}
std::string explain_json(const Explanation& what, const Table& table, const health::Table& health);
/// "origin=us-east-1; reason=next_nearest; place=DE/header; attempts=1; first_choice=eu-west-1; passed_over=down": the
/// X-Nearhop-Decision field (docs/decision.md); appends to `out`.
void append_decision_field(std::string& out, const Table& table, const Considered& served, const geo::Place& place,
                           unsigned attempts, const FirstChoice& first);

}  // namespace nearhop::steering
