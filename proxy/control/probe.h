#pragma once

#include "conf/config.h"
#include "health/body.h"
#include "health/verdict.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/shared/snapshot.h"
#include "proxy/wire/head.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nearhop::control {
class HttpClient;
}

namespace nearhop::control {

/// What is asked of every address of an origin, made once per configuration.
struct ProbePlan {
    ProbePlan(const shared::OriginInfo& info, const conf::Probe& settings);

    conf::Probe how;
    bool tls = true;
    bool proxy_protocol = false;  ///< a connection begins with a PROXY header: LOCAL, the edge itself asks
    std::string server_name;      ///< SNI and verified name
    std::uint16_t port = 0;       ///< other than that of requests; 0: the same
    std::shared_ptr<ssl_ctx_st> context;
    std::string request;  ///< the whole head
    health::BodyRules rules;
    std::string agent_header;  ///< empty: what the origin says of itself is not believed

    bool passes(unsigned status) const noexcept;
};

/// Seconds; negative: the phase was not reached or not needed.
struct ProbePhases {
    double connect = -1;
    double tls = -1;
    double first_byte = -1;  ///< from the request sent to the first byte of the answer
    double total = -1;
};

struct ProbeOutcome {
    /// Says nothing of the origin when it neither passed nor has a reason: the edge itself was short of something.
    health::ProbeResult result;
    ProbePhases phases;
    health::Agent agent = health::Agent::none;  ///< what the origin said of itself
    bool path_lost = false;                     ///< nothing of the request was acknowledged
    bool reused = false;  ///< over the connection of an earlier probe: connect and tls were not needed
    bool unread = false;  ///< passed, but the body is not looked at although something is asked of it: see `detail`
    std::string detail;   ///< what went wrong, where `result` cannot say it: an errno's or OpenSSL's words
};

/// Probes one address, one probe at a time, over a connection that is kept where the origin allows it. Each minute the
/// prober opens a new one: only that measures the round trip and sees the present certificate.
class Prober {
public:
    static constexpr loop::milliseconds connection_age{60'000};

    Prober(loop::Loop& loop, const shared::Endpoint& endpoint);
    ~Prober();
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;

    /// A kept connection that the origin has closed in the meantime is replaced at once and does not count. Throws
    /// where memory is out. Dropping the Task ends the probe.
    loop::Task<ProbeOutcome> probe(std::shared_ptr<const ProbePlan> plan);

private:
    loop::Loop& loop_;
    const shared::Endpoint endpoint_;
    std::shared_ptr<const ProbePlan> made_under_;  ///< another configuration gets another connection
    std::unique_ptr<control::HttpClient> client_;
};

/// What is wrong with a certificate, from OpenSSL's verify result.
health::CertificateProblem certificate_problem(long verify_result) noexcept;

}  // namespace nearhop::control
