#pragma once

#include "health/schedule.h"

namespace nearhop::health {

/// Everything that bounds how long clients can feel the death of one origin; from configuration.
struct RtoFacts {
    Intervals intervals;
    milliseconds probe_timeout{2'000};
    unsigned fall = 3;
    milliseconds dial{2'300};  ///< the longest that one try to get a connection takes
    milliseconds head_timeout{10'000};
    milliseconds stale{500};        ///< how long after a request its connection's end only says that it was an old one
    milliseconds deadline{25'000};  ///< of a request as a whole
    milliseconds timer{4};          ///< how late the event loop may notice that a time has come
};

struct Rto {
    milliseconds detection{};  ///< from the failure to the verdict `down`, by probes alone
    milliseconds delay{};      ///< that a request begun before the verdict may wait for an answer of another origin
    milliseconds total{};      ///< from the failure until the last such request is answered
};

/// The worst case when one origin stops serving for good, however it does (refusing, silent, resetting), as long as
/// another one is up and takes over. Never below what happens; tests/health/rto_test.cpp says how far above.
///
/// Detection. The last probe that passes begins at most an instant before the failure. The next one begins one steady
/// interval after it, stretched by the jitter, or when a slow one is over. It takes at most its timeout to fail, and
/// makes the schedule transitional. `fall - 1` more failures follow, each begun a transitional interval after the one
/// before, or when that is over; the last one's end is the verdict.
///
///     first    = max(steady x (1 + jitter), timeout + 1 ms)
///     further  = max(transitional x (1 + jitter), timeout + 1 ms)
///     detection = first + (fall - 1) x further + timeout
///
/// Traffic ejects sooner (`passive`), but no bound can count on traffic.
///
/// Delay. The request may go out on a kept-alive connection, find it closed just within `stale`, dial the same origin
/// again, and lose `head_timeout` there; the deadline limits the sum.
///
///     delay = min(deadline, stale + dial + head_timeout)
///
/// Requests that may not move (POST that was sent, a retry budget used up) wait until the deadline and fail instead.
Rto rto_bound(const RtoFacts& facts) noexcept;

}  // namespace nearhop::health
