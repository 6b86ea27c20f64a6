#include "proxy/control/probe.h"

#include "proxy/control/http_client.h"
#include "proxy/control/probe_head.h"
#include "proxy/origin/agent.h"
#include "proxy/origin/announcement.h"
#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"

#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cerrno>
#include <netinet/in.h>
#include <span>
#include <string_view>
#include <utility>

namespace nearhop::control {
namespace {

using control::HttpClient;
using control::HttpFailure;
using health::Reason;
using loop::Task;
using loop::TimePoint;

double seconds_between(TimePoint from, TimePoint to) noexcept {
    return std::max(0.0, std::chrono::duration<double>(to - from).count());
}

Reason reason_of_connect(int error) noexcept {
    switch (error) {
        case ECONNREFUSED:
        case ECONNRESET: return Reason::refused;
        case ETIMEDOUT: return Reason::connect_timeout;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
        case EADDRNOTAVAIL: return Reason::none;  // the edge's own trouble
        default: return Reason::unreachable;
    }
}

bool is_json(std::string_view type) noexcept {
    constexpr std::string_view suffix = "+json";
    return wire::equal_ignoring_case(type, "application/json") ||
           (type.size() > suffix.size() && wire::equal_ignoring_case(type.substr(type.size() - suffix.size()), suffix));
}

health::BodyKind kind_of(std::span<const wire::Field> fields) {
    health::BodyKind kind{.json = false};
    for (const auto& field : fields) {
        if (wire::equal_ignoring_case(field.name, "content-type") && kind.type.empty()) {
            std::string_view type = field.value.substr(0, field.value.find(';'));
            while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
            kind.type = type;
            kind.json = is_json(type);
        }
        const bool coded = !field.value.empty() && !wire::equal_ignoring_case(field.value, "identity");
        if (wire::equal_ignoring_case(field.name, "content-encoding") && coded) kind.coding = field.value;
    }
    return kind;
}

sockaddr_storage with_port(sockaddr_storage address, std::uint16_t port) noexcept {
    if (port == 0) return address;
    if (address.ss_family == AF_INET6)
        reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(port);
    else
        reinterpret_cast<sockaddr_in&>(address).sin_port = htons(port);
    return address;
}

control::HttpServer server_of(const ProbePlan& plan, const shared::Endpoint& endpoint) {
    control::HttpServer server{.address = with_port(endpoint.address, plan.port), .size = endpoint.size};
    if (plan.tls) {
        server.tls = plan.context;
        server.name = plan.server_name;
    }
    if (plan.proxy_protocol) server.preface = origin::Announcement::local().bytes();
    return server;
}

control::HttpLimits limits_of(const ProbePlan& plan) noexcept {
    return {.connect = plan.how.connect_timeout,
            .whole = *plan.how.timeout,
            .connection_age = Prober::connection_age,
            .body_bytes = plan.how.body_limit,
            .cut_body = true};
}

Reason reason_of(const control::HttpAnswer& answer) noexcept {
    switch (answer.failure) {
        case HttpFailure::none: return Reason::passed;
        case HttpFailure::connect: return reason_of_connect(answer.error);
        case HttpFailure::connect_timeout:
        case HttpFailure::lost: return Reason::connect_timeout;
        case HttpFailure::tls: return Reason::tls_failed;
        case HttpFailure::certificate: return Reason::tls_certificate;
        case HttpFailure::tls_timeout: return Reason::tls_timeout;
        case HttpFailure::closed: return Reason::reset;
        case HttpFailure::head_timeout: return Reason::head_timeout;
        case HttpFailure::body_timeout: return Reason::body_timeout;
        case HttpFailure::malformed:
        case HttpFailure::too_large: return Reason::bad_response;
    }
    return Reason::bad_response;
}

/// What a probe makes of an answer that is HTTP.
class Answer {
public:
    Answer(const ProbePlan& plan, ProbeOutcome& outcome) noexcept : plan_{plan}, outcome_{outcome} {}

    /// False: the status alone says that it failed.
    bool read_head(const wire::ResponseHead& head) {
        if (!plan_.agent_header.empty()) outcome_.agent = origin::agent_of(head.fields, plan_.agent_header);
        passes_ = plan_.passes(head.status);
        if (!passes_) return false;
        kind_ = kind_of(head.fields);
        const auto framing = wire::response_framing(head, "GET");  // what is not there is declared as nothing
        kind_.json = kind_.json && framing && framing->has_body();
        return true;
    }
    Reason read_body(const control::HttpAnswer& answer) {
        if (!passes_) return Reason::status;
        if (answer.body.find(plan_.how.body_contains) == answer.body.npos) return Reason::body_mismatch;
        if (!plan_.rules.asked() && !(plan_.rules.any() && kind_.json)) return Reason::passed;
        auto reading = health::read_body(answer.body, plan_.rules, kind_);
        outcome_.result.checks = reading.findings;
        outcome_.unread = reading.reason == Reason::none && reading.unread;
        outcome_.detail = std::move(reading.detail);
        return reading.reason == Reason::none ? Reason::passed : reading.reason;
    }

private:
    const ProbePlan& plan_;
    ProbeOutcome& outcome_;
    health::BodyKind kind_{};
    bool passes_ = false;
};

}  // namespace

health::CertificateProblem certificate_problem(long verify_result) noexcept {
    using enum health::CertificateProblem;
    switch (verify_result) {
        case X509_V_OK: return none;
        case X509_V_ERR_CERT_HAS_EXPIRED: return expired;
        case X509_V_ERR_CERT_NOT_YET_VALID: return not_yet_valid;
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH: return wrong_name;
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return self_signed;
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        case X509_V_ERR_CERT_UNTRUSTED: return untrusted;
        case X509_V_ERR_CERT_REVOKED: return revoked;
        default: return other;
    }
}

ProbePlan::ProbePlan(const shared::OriginInfo& info, const conf::Probe& settings)
    : how{settings},
      tls{info.tls},
      proxy_protocol{info.proxy_protocol},
      server_name{probe_server_name(info, settings)},
      port{settings.port == info.port ? std::uint16_t{0} : static_cast<std::uint16_t>(settings.port)},
      context{info.context},
      request{probe_head(info, settings)},
      rules{.checks = settings.checks,
            .region = settings.expect_region.empty()    ? info.region
                      : settings.expect_region == "off" ? std::string{}
                                                        : settings.expect_region,
            .region_asked = !settings.expect_region.empty() && settings.expect_region != "off"},
      agent_header{info.agent_header} {}

bool ProbePlan::passes(unsigned status) const noexcept {
    return std::any_of(how.statuses.begin(), how.statuses.end(),
                       [&](const auto& range) { return status >= range.first && status <= range.second; });
}

Prober::Prober(loop::Loop& loop, const shared::Endpoint& endpoint) : loop_{loop}, endpoint_{endpoint} {}

Prober::~Prober() = default;

Task<ProbeOutcome> Prober::probe(std::shared_ptr<const ProbePlan> plan) {
    const auto began = loop_.now();
    if (made_under_ != plan) {
        client_ = std::make_unique<HttpClient>(loop_, server_of(*plan, endpoint_));
        made_under_ = plan;
    }
    ProbeOutcome outcome;
    Answer seen{*plan, outcome};
    auto on_head = [&seen](const wire::ResponseHead& head) { return seen.read_head(head); };
    auto answer = co_await client_->ask(plan->request, limits_of(*plan), on_head);
    const auto reason = answer.failure == HttpFailure::none ? seen.read_body(answer) : reason_of(answer);

    outcome.result.began = began;
    outcome.result.passed = reason == Reason::passed;
    outcome.result.reason = reason;
    outcome.result.status = answer.status;
    if (reason == Reason::tls_certificate) outcome.result.certificate = certificate_problem(answer.verify_result);
    outcome.phases = {answer.phases.connect, answer.phases.tls, answer.phases.first_byte,
                      seconds_between(began, loop_.now())};
    outcome.path_lost = answer.failure == HttpFailure::lost;
    outcome.reused = answer.reused;
    if (answer.failure != HttpFailure::none) outcome.detail = std::move(answer.detail);
    // A connection whose answer counts as a failure is not asked again.
    if (reason != Reason::passed) made_under_ = nullptr;
    co_return outcome;
}

}  // namespace nearhop::control
