#pragma once

#include "proxy/shared/snapshot.h"
#include "proxy/steering/explain.h"

#include <string>

namespace nearhop::admin {

/// "Where would this request go?", as asked on the command line and at /explain. All texts as typed; empty: not given.
struct Question {
    std::string ip;
    std::string country;  ///< "DE" or with a subdivision: "US-CA"
    std::string latitude, longitude;
    std::string host;  ///< empty: the default site, else the first site
    std::string path = "/";
    std::string method = "GET";
};

struct Answer {
    std::string error;  ///< one sentence, when the question makes no sense; the rest is then empty
    steering::Explanation explanation;
};

/// Locates and decides exactly as a worker would for a trusted peer that says so in its viewer fields, by the health
/// given. Local skips are a worker's own and not in it.
Answer explain(const Question& question, const shared::Snapshot& snapshot, const health::Table& health);

/// The answer in print; `health_is` says what the verdicts are worth: "live" or "assumed: every origin is up".
std::string answer_text(const Answer& answer, const shared::Snapshot& snapshot, const health::Table& health,
                        const std::string& health_is);
std::string answer_json(const Answer& answer, const shared::Snapshot& snapshot, const health::Table& health,
                        const std::string& health_is);

}  // namespace nearhop::admin
