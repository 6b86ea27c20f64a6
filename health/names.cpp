#include "health/verdict.h"

namespace nearhop::health {

std::string_view name(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::unknown: return "unknown";
        case Verdict::up: return "up";
        case Verdict::degraded: return "degraded";
        case Verdict::down: return "down";
    }
    return "?";
}

std::string_view name(Reason reason) noexcept {
    switch (reason) {
        case Reason::none: return "none";
        case Reason::passed: return "passed";
        case Reason::resolve_failed: return "resolve_failed";
        case Reason::refused: return "refused";
        case Reason::unreachable: return "unreachable";
        case Reason::connect_timeout: return "connect_timeout";
        case Reason::reset: return "reset";
        case Reason::tls_failed: return "tls_failed";
        case Reason::tls_certificate: return "tls_certificate";
        case Reason::tls_timeout: return "tls_timeout";
        case Reason::head_timeout: return "head_timeout";
        case Reason::bad_response: return "bad_response";
        case Reason::status: return "status";
        case Reason::body_mismatch: return "body_mismatch";
        case Reason::body_timeout: return "body_timeout";
        case Reason::bad_body: return "bad_body";
        case Reason::wrong_region: return "wrong_region";
        case Reason::check_failed: return "check_failed";
        case Reason::ratio: return "ratio";
        case Reason::stalled: return "stalled";
        case Reason::agent_degraded: return "agent_degraded";
        case Reason::agent_drain: return "agent_drain";
        case Reason::operator_force_up: return "operator_force_up";
        case Reason::operator_force_down: return "operator_force_down";
        case Reason::operator_drain: return "operator_drain";
    }
    return "?";
}

std::string_view name(Finding finding) noexcept {
    switch (finding) {
        case Finding::missing: return "missing";
        case Finding::ok: return "ok";
        case Finding::warn: return "warn";
        case Finding::fail: return "fail";
    }
    return "?";
}

std::string_view name(Agent word) noexcept {
    switch (word) {
        case Agent::none: return "none";
        case Agent::up: return "up";
        case Agent::degraded: return "degraded";
        case Agent::drain: return "drain";
    }
    return "?";
}

std::string_view name(Override order) noexcept {
    switch (order) {
        case Override::none: return "none";
        case Override::drain: return "drain";
        case Override::force_up: return "force_up";
        case Override::force_down: return "force_down";
    }
    return "?";
}

std::string_view name(CertificateProblem problem) noexcept {
    switch (problem) {
        case CertificateProblem::none: return "none";
        case CertificateProblem::expired: return "expired";
        case CertificateProblem::not_yet_valid: return "not_yet_valid";
        case CertificateProblem::wrong_name: return "wrong_name";
        case CertificateProblem::untrusted: return "untrusted";
        case CertificateProblem::self_signed: return "self_signed";
        case CertificateProblem::revoked: return "revoked";
        case CertificateProblem::other: return "other";
    }
    return "?";
}

}  // namespace nearhop::health
