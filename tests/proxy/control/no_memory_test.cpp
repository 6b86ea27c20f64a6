#include "proxy/admin/server.h"
#include "proxy/control/control.h"
#include "proxy/control/status.h"
#include "proxy/setup/build.h"
#include "proxy/shared/failures.h"
#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <atomic>
#include <cstdlib>
#include <netinet/in.h>
#include <new>
#include <random>
#include <sys/socket.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>

// Allocations of this binary fail where a test wants them to: on its own thread, one of so many.
namespace {
thread_local unsigned one_of = 0;  // 0: none fails
thread_local std::minstd_rand chance{1};
thread_local unsigned failed = 0;
}  // namespace
void* operator new(std::size_t size) {
    if (one_of != 0 && chance() % one_of == 0) {
        ++failed;
        throw std::bad_alloc{};
    }
    if (void* block = std::malloc(size)) return block;
    throw std::bad_alloc{};
}
// Not inlined: the compiler would see free() for what its own operator new had returned.
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace nearhop::control {
namespace {

using health::Verdict;

/// A control thread with all it does for ever: names to resolve, addresses and a control target to probe, files to look
/// at, orders to keep, an admin listener.
struct World {
    Folder folder;
    DnsServer dns;
    ScriptedOrigin origin{ScriptedOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")};
    loop::Loop loop;
    shared::Board board;
    shared::Registry registry{1};
    wire::TicketKeys keys = wire::make_ticket_keys();
    std::unique_ptr<Control> control;
    std::unique_ptr<admin::AdminServer> admin;
    bool first_round = false;

    World() {
        loop.on_failure(shared::noting(registry, account::Duty::mail));
        dns.set("moving.test", false, {.addresses = {"127.0.0.1"}, .ttl = 0});
        dns.set("moving.test", true, {});
        folder.write(
            "nearhop.yaml",
            "listeners: [{address: \"127.0.0.1:0\", protocol: http, plain: serve}]\n"
            "dns: {servers: [\"" +
                dns.address() +
                "\"], min_ttl: 1s}\n"
                "health: {interval: 100ms, interval_transitional: 100ms, interval_down: 100ms, timeout: 90ms}\n"
                "isolation: {control: [\"tcp://127.0.0.1:" +
                std::to_string(origin.port()) +
                "\"], interval: 100ms, interval_failing: 100ms}\n"
                "admin: {listen: \"127.0.0.1:0\", token: let-me-in, state_file: " +
                folder.file("orders.json") +
                "}\n"
                "origins:\n  us-east-1: {url: \"http://moving.test:" +
                std::to_string(origin.port()) + "\"}\n");
        auto loaded = setup::load(folder.file("nearhop.yaml"), keys);
        for (const auto& problem : loaded.problems)  // it is warned of a control target on this machine
            EXPECT_EQ(problem.severity, conf::Severity::warning) << conf::to_string(problem, "nearhop.yaml");
        control = std::make_unique<Control>(loop, board, registry, std::move(*loaded.snapshot), keys);
        admin = std::make_unique<admin::AdminServer>(loop, *control, board, registry);
        std::string error;
        EXPECT_TRUE(admin->open(control->current().routing->config.admin, error)) << error;
        control->start([this] { first_round = true; });
    }
    ~World() {
        admin.reset();
        control.reset();
    }
    std::string addresses() const {
        std::string text;
        for (const auto& endpoint : board.latest()->addresses->by_origin.at(0))
            text += (text.empty() ? "" : " ") + endpoint.text.substr(0, endpoint.text.find(':'));
        return text;
    }
    std::uint64_t probes() {
        return control->status().figures.at("us-east-1").probes[static_cast<std::size_t>(health::Reason::passed)];
    }
    std::uint64_t failures() const {
        std::uint64_t sum = 0;
        for (const auto& each : registry.task_failures) sum += each.get();
        return sum;
    }
};

/// Asks for /livez again and again, from a thread of its own; counts the good answers.
class Asker {
public:
    explicit Asker(std::string address) : address_{std::move(address)}, thread_{[this] { run(); }} {}
    ~Asker() {
        stop_ = true;
        thread_.join();
    }
    int good() const noexcept { return good_; }

private:
    void run() {
        const auto colon = address_.rfind(':');
        sockaddr_in to{};
        to.sin_family = AF_INET;
        ::inet_pton(AF_INET, address_.substr(0, colon).c_str(), &to.sin_addr);
        to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address_.substr(colon + 1))));
        while (!stop_) {
            const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            const timeval patience{2, 0};
            ::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            constexpr std::string_view request = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            char answer[512];
            if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
                ::send(descriptor, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
                const auto got = ::recv(descriptor, answer, sizeof answer, 0);
                if (got > 0 && std::string_view{answer, static_cast<std::size_t>(got)}.starts_with("HTTP/1.1 200"))
                    ++good_;
            }
            ::close(descriptor);
        }
    }
    const std::string address_;
    std::atomic<bool> stop_{false};
    std::atomic<int> good_{0};
    std::thread thread_;
};

TEST(NoMemory, EndsNothingThatIsToGoOnForEver) {
    World world;
    const auto body = [](World& here) -> loop::Task<> {
        const auto begun = [&here] { return here.first_round; };
        EXPECT_TRUE(co_await until(here.loop, begun));
        Asker asker{here.admin->address()};
        loop::Wake wake{here.loop};
        loop::Timer timer{here.loop, wake};
        for (const unsigned odds : {5u, 60u}) {
            here.dns.set("moving.test", false, {.addresses = {"127.0.0.1"}, .ttl = 0});
            timer.expires_after(loop::milliseconds{1500});  // a refresh of the name, some ticks and many probes
            one_of = odds;
            while (!timer.expired()) co_await wake.wait();
            one_of = 0;
            EXPECT_GT(std::exchange(failed, 0u), 0u) << odds;

            // All of it works again, by itself.
            const auto more = odds % 2 == 0 ? std::string{"127.0.0.1 127.0.0.2"} : std::string{"127.0.0.1 127.0.0.3"};
            here.dns.set("moving.test", false, {.addresses = {"127.0.0.1", more.substr(10)}, .ttl = 0});
            const auto moved = [&] { return here.addresses() == more; };
            EXPECT_TRUE(co_await until(here.loop, moved)) << "DNS, one of " << odds << ": " << here.addresses();
            const auto probes = here.probes();
            const auto probed = [&] { return here.probes() > probes + 3; };
            EXPECT_TRUE(co_await until(here.loop, probed)) << "probes, one of " << odds;
            const auto answers = asker.good();
            const auto answered = [&] { return asker.good() > answers + 3; };
            EXPECT_TRUE(co_await until(here.loop, answered)) << "admin listener, one of " << odds;
            const auto reloaded = co_await here.control->reload();
            EXPECT_TRUE(reloaded.ok) << "reload, one of " << odds;
            // Named: g++ 12 destroys an aggregate that is made inside a co_await expression twice.
            OverrideOrder order{.origin = "us-east-1", .order = health::Override::force_up, .author = "a", .why = "b"};
            const auto ordered = co_await here.control->override_origin(std::move(order));
            EXPECT_TRUE(ordered.saved) << ordered.not_saved;
        }
        EXPECT_GT(here.failures(), 0u) << "and it was counted";
    };
    EXPECT_TRUE(drive(world.loop, body(world)));
}

}  // namespace
}  // namespace nearhop::control
