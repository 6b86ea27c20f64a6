#include "proxy/control/probe.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "tests/fuzz/support.h"

#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace nearhop;
using fuzz::require;

namespace {

/// An origin on the same thread: its answer is sent in two pieces as soon as somebody connects, then it ends. Reset at
/// the end, so that no port waits for stray segments.
class Origin final : public loop::Watch {
public:
    explicit Origin(loop::Loop& loop) : loop_{loop}, listener_{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)} {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        require(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        require(::listen(listener_, 8) == 0);
        endpoint.size = sizeof endpoint.address;
        require(::getsockname(listener_, reinterpret_cast<sockaddr*>(&endpoint.address), &endpoint.size) == 0);
        require(loop_.watch(listener_, EPOLLIN, *this));
    }
    ~Origin() {
        loop_.unwatch(listener_, *this);
        ::close(listener_);
    }
    Origin(const Origin&) = delete;
    Origin& operator=(const Origin&) = delete;

    void answer_with(std::string_view answer, std::size_t cut) {
        answer_ = answer;
        cut_ = cut;
    }
    void end() {
        if (peer_ < 0) return;
        const linger at_once{1, 0};
        ::setsockopt(peer_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        ::close(peer_);
        peer_ = -1;
    }
    void on_events(std::uint32_t) noexcept override {
        const int accepted = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
        if (accepted < 0) return;
        require(peer_ < 0);  // one connection for each probe
        peer_ = accepted;
        const int on = 1;
        ::setsockopt(peer_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        send(answer_.substr(0, cut_));
        loop_.post([this] {
            send(answer_.substr(cut_));
            if (peer_ >= 0) ::shutdown(peer_, SHUT_WR);
        });
    }
    shared::Endpoint endpoint;

private:
    void send(std::string_view bytes) const {
        if (peer_ >= 0) (void)!::send(peer_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    loop::Loop& loop_;
    int listener_;
    int peer_ = -1;
    std::string_view answer_;
    std::size_t cut_ = 0;
};

std::shared_ptr<const control::ProbePlan> make_plan() {
    shared::OriginInfo info;
    info.tls = false;
    info.host = info.host_field = "origin.test";
    conf::Probe settings;
    settings.timeout.value = std::chrono::seconds{20};
    settings.connect_timeout = std::chrono::seconds{10};
    settings.body_contains = "ok";
    settings.body_limit = 64;
    return std::make_shared<const control::ProbePlan>(info, settings);
}

loop::Task<> probe(Origin& origin, loop::Loop& loop, std::shared_ptr<const control::ProbePlan> plan,
                   control::ProbeOutcome& outcome) {
    {
        control::Prober prober{loop, origin.endpoint};
        outcome = co_await prober.probe(std::move(plan));
    }
    loop.stop();
}

control::ProbeOutcome outcome_of(std::string_view answer, std::size_t cut) {
    static const auto plan = make_plan();
    loop::Loop loop;
    Origin origin{loop};
    origin.answer_with(answer, cut);
    control::ProbeOutcome outcome;
    const auto task = probe(origin, loop, plan, outcome);
    task.start();
    loop.run();
    origin.end();
    return outcome;
}

}  // namespace

/// A health check's answer: passed or failed for a reason, at once, and the same whether it came whole or cut where the
/// first byte says.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto answer = fuzz::text_of(data + 1, size - 1);
    const auto whole = outcome_of(answer, answer.size());
    require(whole.result.passed == (whole.result.reason == health::Reason::passed));
    require(whole.result.reason != health::Reason::none);
    if (whole.result.passed) require(whole.result.status >= 200 && whole.result.status <= 299);
    if (whole.result.passed)
        require(answer.find("ok") != std::string_view::npos || answer.find("chunked") != answer.npos);

    const auto cut = outcome_of(answer, answer.size() * data[0] / 256);
    require(cut.result.passed == whole.result.passed && cut.result.reason == whole.result.reason);
    require(cut.result.status == whole.result.status && cut.detail == whole.detail);
    return 0;
}
