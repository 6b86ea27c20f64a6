#pragma once

#include "health/verdict.h"

#include <string>
#include <string_view>

namespace nearhop::health {

/// A reason in words for operators: "L4 refused", "TLS expired certificate", "status 503", "timeout in head".
std::string reason_text(Reason reason, unsigned status = 0, CertificateProblem certificate = CertificateProblem::none);
std::string reason_text(const State& state);

/// The one log line of a state change, in logfmt:
///   origin=eu-west-1 verdict=down was=up reason="L4 refused"
///   origin=eu-west-1 verdict=up ejected=true ejected_s=10.4 ejections=1 reason="L4 timeout"
/// `was` appears only if the verdict changed; `ejected`, `draining`, `agent` and `override` only if they changed or are
/// set; `address` only if the change is one address's.
std::string describe(std::string_view origin, const State& before, const State& after, std::string_view address = {});

}  // namespace nearhop::health
