#pragma once

#include "conf/config.h"
#include "health/verdict.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What a health body in JSON says. Foreign bytes in, a few words out; no sockets, no HTTP.
namespace nearhop::health {

/// What is looked for in a body.
struct BodyRules {
    std::vector<conf::Check> checks;
    std::string region;  ///< what `region` of the body must say, where it says something; empty: anything

    bool any() const noexcept { return !checks.empty() || !region.empty(); }
};

struct BodyReading {
    Reason reason = Reason::none;  ///< none: good; else bad_body, wrong_region or check_failed, and the probe fails
    std::string detail;            ///< what was found, in printable ASCII
    Findings findings;             ///< by the number of the check in `rules`
};

/// Reads a body that was declared JSON. Nested at most 32 deep; that and what is no JSON is `bad_body`, unless there
/// are no checks that need it. The named checks stand in `checks`, `components` or `entries`, as a map or as a list of
/// maps with a `name`; each is a text, true or false, or a map with `status`, or a list of such maps (the worst
/// counts).
BodyReading read_body(std::string_view body, const BodyRules& rules);

/// The status of a check as applications write it, in any case. ok, pass, up, healthy and their like; warn and
/// degraded, which count as good; any other word is a failure.
Finding finding_of(std::string_view status) noexcept;

/// The value of an agent header: up, degraded or drain, in any case. nullopt: anything else, which says nothing.
std::optional<Agent> agent_word(std::string_view value) noexcept;

}  // namespace nearhop::health
