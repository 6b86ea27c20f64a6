#include "proxy/origin/probe.h"

#include "proxy/origin/agent.h"

#include "proxy/origin/announcement.h"
#include "proxy/origin/probe_head.h"
#include "proxy/wire/chunked.h"
#include "proxy/wire/head.h"

#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <span>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace nearhop::origin {
namespace {

using health::Reason;
using loop::Clock;
using loop::Io;
using loop::Task;
using loop::TimePoint;

constexpr std::size_t head_limit = 64 * 1024;
constexpr unsigned head_fields = 1000;
constexpr unsigned interim_limit = 8;

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

/// Looks for a text in bytes that arrive in pieces.
class TextSearch {
public:
    explicit TextSearch(std::string_view wanted) : wanted_{wanted}, found_{wanted.empty()} {}
    void add(std::string_view piece) {
        if (found_) return;
        window_.append(piece);
        found_ = window_.find(wanted_) != window_.npos;
        if (window_.size() >= wanted_.size()) window_.erase(0, window_.size() - wanted_.size() + 1);
    }
    bool found() const noexcept { return found_; }

private:
    std::string_view wanted_;
    std::string window_;
    bool found_;
};

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

ProbePlan::ProbePlan(const OriginInfo& info, const conf::Probe& settings)
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

Prober::Prober(loop::Loop& loop, const Endpoint& endpoint) : wake_{loop}, timer_{loop, wake_}, endpoint_{endpoint} {}

Task<ProbeOutcome> Prober::probe(std::shared_ptr<const ProbePlan> plan) {
    ProbeOutcome outcome;
    const TimePoint began = wake_.loop().now();
    outcome.result.began = began;
    deadline_ = began + *plan->how.timeout;

    Result failure;
    outcome.reused = may_reuse(plan);
    if (outcome.reused) {
        failure = co_await exchange(*plan, outcome);
        // The origin closed it as our request was under way: its right, and no sign of sickness.
        if (failure && (failure->reason == Reason::reset || failure->reason == Reason::tls_failed) &&
            outcome.phases.first_byte < 0)
            outcome.reused = false;
    }
    if (!outcome.reused) {
        failure = co_await connect(*plan, outcome.phases);
        made_under_ = plan;
        if (!failure && plan->tls) failure = co_await handshake(*plan, outcome);
        if (!failure) failure = co_await exchange(*plan, outcome);
    }
    timer_.clear();
    if (failure) stream_.reset();

    outcome.phases.total = seconds_between(began, wake_.loop().now());
    outcome.result.passed = !failure;
    outcome.result.reason = failure ? failure->reason : Reason::passed;
    if (failure) outcome.detail = std::move(failure->detail);
    co_return outcome;
}

bool Prober::may_reuse(const std::shared_ptr<const ProbePlan>& plan) {
    if (!stream_ || !std::exchange(idle_, false)) return false;
    if (made_under_ != plan || wake_.loop().now() - made_ >= connection_age) return false;
    // An end, a reset or a stray byte may have come while it idled. So may TLS tickets, which are read here.
    if (stream_->socket().hung_up()) return false;
    return !stream_->socket().maybe_readable() || (stream_->fill(1) == Io::blocked && stream_->in().empty());
}

Task<Prober::Result> Prober::connect(const ProbePlan& plan, ProbePhases& phases) {
    stream_ = std::make_unique<wire::Stream>();
    idle_ = false;
    made_ = wake_.loop().now();
    const int descriptor =
        ::socket(endpoint_.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (descriptor < 0) co_return Failure{reason_of_connect(errno), std::strerror(errno)};
    const int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const TimePoint began = Clock::now();  // finer than the batch's time: this difference is the round trip
    const sockaddr_storage address = with_port(endpoint_.address, plan.port);
    if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), endpoint_.size) != 0 &&
        errno != EINPROGRESS) {
        const int error = errno;
        ::close(descriptor);
        co_return Failure{reason_of_connect(error), std::strerror(error)};
    }
    auto& socket = stream_->socket();
    socket.open(wake_.loop(), descriptor, wake_, true);
    timer_.expires_at(std::min(deadline_, wake_.loop().now() + plan.how.connect_timeout));
    for (;;) {
        const auto connected = socket.connected();
        if (!connected.pending) {
            if (connected.error != 0)
                co_return Failure{reason_of_connect(connected.error), std::strerror(connected.error)};
            phases.connect = seconds_between(began, wake_.loop().now());
            if (plan.proxy_protocol) stream_->write(Announcement::local().bytes());
            co_return std::nullopt;
        }
        if (timer_.expired()) co_return Failure{Reason::connect_timeout};
        co_await wake_.wait();
    }
}

Task<Prober::Result> Prober::handshake(const ProbePlan& plan, ProbeOutcome& outcome) {
    const TimePoint began = wake_.loop().now();
    // No session is resumed: a resumed handshake would not look at the certificate.
    stream_->start_tls_client(plan.context.get(), plan.server_name, geo::Address::parse(plan.server_name).has_value(),
                              nullptr);
    timer_.expires_at(deadline_);
    for (;;) {
        const Io io = stream_->handshake();
        if (io == Io::ok) {
            outcome.phases.tls = seconds_between(began, wake_.loop().now());
            co_return std::nullopt;
        }
        if (io != Io::blocked) {
            const auto& why = stream_->tls_failure();
            if (!why.certificate) co_return Failure{Reason::tls_failed, why.text()};
            outcome.result.certificate = certificate_problem(why.verify_result);
            co_return Failure{Reason::tls_certificate, why.text()};
        }
        if (timer_.expired()) co_return Failure{Reason::tls_timeout};
        co_await wake_.wait();
    }
}

Task<Prober::Result> Prober::exchange(const ProbePlan& plan, ProbeOutcome& outcome) {
    const TimePoint began = Clock::now();
    TimePoint look_at = began + loop::Socket::patience;
    auto& in = stream_->in();
    stream_->write(plan.request);
    wire::HeadScan scan;
    wire::ResponseHead head;
    for (unsigned interim = 0;;) {
        switch (scan.scan(in.view())) {
            case wire::HeadScan::State::malformed: co_return Failure{Reason::bad_response, "the head is not HTTP"};
            case wire::HeadScan::State::complete:
                if (wire::parse_response(in.view().substr(0, scan.size()), head_fields, head) != wire::HeadError::none)
                    co_return Failure{Reason::bad_response, "the head is not HTTP/1"};
                if (head.status >= 200) break;
                if (head.status == 101 || ++interim > interim_limit)
                    co_return Failure{Reason::bad_response, "interim answers that the probe did not ask for"};
                in.consume(scan.size());
                scan.reset();
                continue;
            case wire::HeadScan::State::more: break;
        }
        if (head.status >= 200) break;
        if (in.size() >= head_limit) co_return Failure{Reason::bad_response, "the head is larger than 64 KiB"};
        (void)stream_->flush();  // where it fails, what the origin said before is still read
        const Io io = stream_->fill(head_limit);
        if (io == Io::ok) {
            if (outcome.phases.first_byte < 0) outcome.phases.first_byte = seconds_between(began, wake_.loop().now());
            continue;
        }
        if (io != Io::blocked) {
            if (outcome.phases.first_byte < 0 && stream_->failed())
                co_return Failure{Reason::tls_failed, stream_->tls_failure().text()};
            if (outcome.phases.first_byte < 0) co_return Failure{Reason::reset};
            co_return Failure{Reason::bad_response, "the answer ended within its head"};
        }
        const TimePoint now = wake_.loop().now();
        if (now >= deadline_) co_return Failure{Reason::head_timeout};
        if (now >= look_at && outcome.phases.first_byte < 0) {
            outcome.path_lost = stream_->socket().delivery() == loop::Socket::Delivery::lost;
            if (outcome.path_lost) co_return Failure{Reason::connect_timeout, "nothing was acknowledged"};
            look_at = now + loop::Socket::look_again;
        }
        timer_.expires_at(outcome.phases.first_byte < 0 ? std::min(deadline_, look_at) : deadline_);
        co_await wake_.wait();
    }

    timer_.expires_at(deadline_);
    outcome.result.status = head.status;
    if (!plan.agent_header.empty()) outcome.agent = agent_of(head.fields, plan.agent_header);
    const auto framing = wire::response_framing(head, "GET");
    if (!framing) co_return Failure{Reason::bad_response, "the framing of the answer is ambiguous"};
    if (!plan.passes(head.status)) co_return Failure{Reason::status};
    bool keep = wire::keeps_alive(head.minor, head.fields);
    auto kind = kind_of(head.fields);
    kind.json = kind.json && framing->kind != wire::Framing::Kind::none;  // what is not there is declared as nothing
    const bool looks = plan.rules.asked() || (plan.rules.any() && kind.json);
    std::string body;
    in.consume(scan.size());  // ends the views in `head`
    if (auto failure = co_await read_body(plan, *framing, looks ? &body : nullptr, keep)) co_return failure;
    if (looks) {
        auto reading = health::read_body(body, plan.rules, kind);
        outcome.result.checks = reading.findings;
        if (reading.reason != Reason::none) co_return Failure{reading.reason, std::move(reading.detail)};
        outcome.unread = reading.unread;
        outcome.detail = std::move(reading.detail);
    }

    idle_ = keep && in.empty() && stream_->unsent() == 0 && !stream_->over();
    if (idle_)
        stream_->release_buffers();
    else
        stream_.reset();
    co_return std::nullopt;
}

Task<Prober::Result> Prober::read_body(const ProbePlan& plan, wire::Framing framing, std::string* text, bool& keep) {
    using Kind = wire::Framing::Kind;
    auto& in = stream_->in();
    TextSearch search{plan.how.body_contains};
    wire::ChunkedDecoder decoder;
    std::uint64_t left = framing.kind == Kind::length ? framing.length : 0;
    bool complete = framing.kind == Kind::none || (framing.kind == Kind::length && left == 0);
    std::uint64_t room = plan.how.body_limit;

    while (!complete && room > 0) {
        if (in.empty()) {
            const Io io = stream_->fill(16 * 1024);
            if (io == Io::blocked) {
                if (timer_.expired()) co_return Failure{Reason::body_timeout};
                co_await wake_.wait();
            } else if (io != Io::ok) {
                if (framing.kind != Kind::until_close || io == Io::failed)
                    co_return Failure{Reason::bad_response, "the answer ended early"};
                complete = true;
            }
            continue;
        }
        std::string_view piece = in.view();
        std::size_t used = piece.size();
        if (framing.kind == Kind::chunked) {
            const auto step = decoder.next(piece);
            if (step.result == wire::ChunkedDecoder::Result::malformed)
                co_return Failure{Reason::bad_response, "the answer's chunks are malformed"};
            complete = step.result == wire::ChunkedDecoder::Result::done;
            piece = step.data;
            used = step.used;
        } else if (framing.kind == Kind::length) {
            piece = piece.substr(0, left);
            used = piece.size();
            left -= used;
            complete = left == 0;
        }
        piece = piece.substr(0, room);
        room -= piece.size();
        search.add(piece);
        if (text) text->append(piece);
        in.consume(used);
    }
    if (!complete || framing.kind == Kind::until_close) keep = false;
    if (!search.found()) co_return Failure{Reason::body_mismatch};
    co_return std::nullopt;
}

}  // namespace nearhop::origin
