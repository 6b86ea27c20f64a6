#pragma once

#include "health/schedule.h"

namespace nearhop::health {

/// All settings that bound how long clients notice the death of one origin; from configuration.
struct RtoFacts {
    Intervals intervals;
    milliseconds probe_timeout{2'000};
    unsigned fall = 3;
    milliseconds dial{2'300};  ///< the longest that one try to get a connection takes
    milliseconds head_timeout{10'000};
    milliseconds stale{500};  ///< an end of the connection within this time of the request means a stale connection
    milliseconds deadline{25'000};  ///< of a request as a whole
    milliseconds timer{4};          ///< how late the event loop may notice a time
};

struct Rto {
    milliseconds detection{};  ///< from the failure to the verdict `down`, by probes alone
    milliseconds delay{};      ///< how long a request from before the verdict may wait for another origin's answer
    milliseconds total{};      ///< from the failure until the last such request has its answer
};

/// The worst case if one origin stops serving for good, in any way (refusing, silent, resetting), while another origin
/// is up and takes over. Never below reality; tests/health/rto_test.cpp says how far above.
///
/// Detection. The last passed probe begins just before the failure. The next probe begins one steady interval plus
/// jitter after it, or when a slow one ends. It fails within its timeout and makes the schedule transitional. `fall -
/// 1` more failures follow; each begins a transitional interval after the previous one, or at its end. The end of the
/// last one is the verdict.
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
