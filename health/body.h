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
    std::string region;         ///< what `region` of the body must say, where it says something; empty: anything
    bool region_asked = false;  ///< by the operator's own word, not by default

    bool any() const noexcept { return !checks.empty() || !region.empty(); }
    /// The operator relies on the body: then the edge also reads one that only looks like JSON, and logs one that it
    /// cannot read.
    bool asked() const noexcept { return !checks.empty() || region_asked; }
};

/// What the head of the answer says of its body.
struct BodyKind {
    bool json = true;      ///< declared as application/json or +json
    std::string type{};    ///< the media type; empty: none was given
    std::string coding{};  ///< of its content; empty: none, as was asked for
};

struct BodyReading {
    Reason reason = Reason::none;  ///< none: good; else bad_body, wrong_region or check_failed, and the probe fails
    std::string detail;            ///< what was found, in printable ASCII
    bool unread = false;           ///< nothing of what was asked could be looked at: `detail` says why
    Findings findings;             ///< by the number of the check in `rules`
};

/// Reads a body that was declared JSON, or where something is asked() one that begins like a JSON map. Nested at most
/// 32 deep; that and what is no JSON is `bad_body`, unless it was not declared or there are no checks that need it. A
/// UTF-8 mark before it is passed over. Content that is coded although nobody asked for that is unread.
///
/// The named checks are in `checks`, `components`, `entries`, `details` or `results`, as a map or as a list of maps
/// with a `name`; otherwise in the `components` of components, where the worst of that name counts. Each is a text,
/// true or false, a map with `status`, or a list of such maps (the worst counts).
BodyReading read_body(std::string_view body, const BodyRules& rules, const BodyKind& kind = {});

/// The status of a check as applications write it, in any case of letters. ok, pass, up, healthy and similar are good;
/// warn and degraded count as good; any other word is a failure.
Finding finding_of(std::string_view status) noexcept;

/// The value of an agent header: up, degraded or drain, in any case. nullopt: anything else, which says nothing.
std::optional<Agent> agent_word(std::string_view value) noexcept;

}  // namespace nearhop::health
