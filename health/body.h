#pragma once

#include "conf/config.h"
#include "health/verdict.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Reads a health body in JSON. Untrusted bytes in, a few words out; no sockets, no HTTP.
namespace nearhop::health {

/// What to look for in a body.
struct BodyRules {
    std::vector<conf::Check> checks;
    std::string region;         ///< what `region` in the body must be, if it is there; empty: anything
    bool region_asked = false;  ///< the operator configured it

    bool any() const noexcept { return !checks.empty() || !region.empty(); }
    /// The operator relies on the body: then the edge also reads one that only looks like JSON, and logs one that it
    /// cannot read.
    bool asked() const noexcept { return !checks.empty() || region_asked; }
};

/// What the response head says about the body.
struct BodyKind {
    bool json = true;      ///< declared as application/json or +json
    std::string type{};    ///< the media type; empty: none was given
    std::string coding{};  ///< of its content; empty: none, as the probe asked
};

struct BodyReading {
    Reason reason = Reason::none;  ///< none: good; else bad_body, wrong_region or check_failed, and the probe fails
    std::string detail;            ///< what was found, in printable ASCII
    bool unread = false;           ///< the edge could not read the body: `detail` says why
    Findings findings;             ///< by the number of the check in `rules`
};

/// Reads a body declared as JSON, or, if asked(), one that begins like a JSON map. A body that is not JSON or nested
/// deeper than 32 is `bad_body`, unless it was not declared or no check needs it. Skips a UTF-8 mark. A coded body is
/// unread, because the probe asks for no coding.
///
/// The named checks are in `checks`, `components`, `entries`, `details` or `results`, as a map or as a list of maps
/// with a `name`; otherwise in the `components` of components, where the worst of that name counts. Each is a text,
/// true or false, a map with `status`, or a list of such maps (the worst counts).
BodyReading read_body(std::string_view body, const BodyRules& rules, const BodyKind& kind = {});

/// The status of a check as applications write it, in any case of letters. ok, pass, up, healthy and similar are good;
/// warn and degraded count as good; any other word is a failure.
Finding finding_of(std::string_view status) noexcept;

/// The value of an agent header: up, degraded or drain, in any case. nullopt: any other value, which reports nothing.
std::optional<Agent> agent_word(std::string_view value) noexcept;

}  // namespace nearhop::health
