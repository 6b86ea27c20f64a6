#include "health/describe.h"

#include <cstdio>

namespace nearhop::health {

namespace {

std::string_view certificate_text(CertificateProblem problem) noexcept {
    switch (problem) {
        case CertificateProblem::expired: return "TLS expired certificate";
        case CertificateProblem::not_yet_valid: return "TLS certificate not yet valid";
        case CertificateProblem::wrong_name: return "TLS certificate of another name";
        case CertificateProblem::untrusted: return "TLS untrusted certificate";
        case CertificateProblem::self_signed: return "TLS self-signed certificate";
        case CertificateProblem::revoked: return "TLS revoked certificate";
        case CertificateProblem::none:
        case CertificateProblem::other: return "TLS certificate refused";
    }
    return "?";
}

/// A logfmt value: bare where it can be, else quoted, so that a foreign name cannot forge a field or a line.
void append_value(std::string& out, std::string_view value) {
    const auto plain = [](char c) { return c > ' ' && c != '"' && c != '=' && c != '\\' && c != '\x7f'; };
    bool bare = !value.empty();
    for (const char c : value) bare = bare && plain(c);
    if (bare) {
        out += value;
        return;
    }
    out += '"';
    for (const char c : value) {
        if (c == '"' || c == '\\') out += '\\';
        out += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
    }
    out += '"';
}

}  // namespace

std::string reason_text(Reason reason, unsigned status, CertificateProblem certificate) {
    switch (reason) {
        case Reason::none: return "not probed yet";
        case Reason::passed: return "passed";
        case Reason::resolve_failed: return "DNS gave no address";
        case Reason::refused: return "L4 refused";
        case Reason::unreachable: return "L4 no route";
        case Reason::connect_timeout: return "L4 timeout";
        case Reason::reset: return "closed before the head";
        case Reason::tls_failed: return "TLS handshake failed";
        case Reason::tls_certificate: return std::string{certificate_text(certificate)};
        case Reason::tls_timeout: return "TLS timeout";
        case Reason::head_timeout: return "timeout in head";
        case Reason::bad_response: return "bad response";
        case Reason::status: return status == 0 ? "status" : "status " + std::to_string(status);
        case Reason::body_mismatch: return "body text not found";
        case Reason::body_timeout: return "timeout in body";
        case Reason::bad_body: return "body is not JSON";
        case Reason::wrong_region: return "answer from another region";
        case Reason::check_failed: return "check failed";
        case Reason::ratio: return "share of failed requests";
        case Reason::stalled: return "requests wait without an answer";
        case Reason::agent_degraded: return "degraded by its own report";
        case Reason::agent_drain: return "draining by its own report";
        case Reason::operator_force_up: return "forced up by the operator";
        case Reason::operator_force_down: return "forced down by the operator";
        case Reason::operator_drain: return "operator drain";
    }
    return "?";
}

std::string reason_text(const State& state) { return reason_text(state.reason, state.status, state.certificate); }

std::string describe(std::string_view origin, const State& before, const State& after, std::string_view address) {
    std::string line = "origin=";
    append_value(line, origin);
    if (!address.empty()) {
        line += " address=";
        append_value(line, address);
    }
    line += " verdict=";
    line += name(after.verdict);
    if (before.verdict != after.verdict) {
        line += " was=";
        line += name(before.verdict);
    }
    if (after.ejected && !before.ejected) {
        char text[64];
        const std::chrono::duration<double> lasts = after.ejected_until - after.since;
        std::snprintf(text, sizeof text, " ejected=true ejected_s=%.1f ejections=%u", lasts.count(), after.ejections);
        line += text;
    } else if (after.ejected || before.ejected) {
        line += after.ejected ? " ejected=true" : " ejected=false";
    }
    if (after.draining || before.draining) line += after.draining ? " draining=true" : " draining=false";
    if (after.agent != before.agent || after.agent != Agent::none) {
        line += " agent=";
        line += name(after.agent);
    }
    if (after.order != before.order || after.order != Override::none) {
        line += " override=";
        line += name(after.order);
    }
    line += " reason=\"" + reason_text(after) + '"';
    return line;
}

}  // namespace nearhop::health
