#include "proxy/control/control.h"

#include "proxy/control/status.h"
#include "proxy/setup/build.h"
#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace nearhop::control {
namespace {

using health::Verdict;

const std::string well = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string sick = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";

/// A control thread's world in one thread: configuration file, DNS, board.
struct World {
    Folder folder;
    DnsServer dns;
    loop::Loop loop;
    shared::Board board;
    shared::Registry registry{1};
    wire::TicketKeys keys = wire::make_ticket_keys();
    std::unique_ptr<Control> control;
    bool first_round = false;
    int reloads = 0;

    /// `origins` are lines of the `origins` section.
    void write(const std::string& origins, const std::string& rest = "") const {
        folder.write("nearhop.yaml",
                     "listeners: [{address: \"127.0.0.1:0\", protocol: http, plain: serve}]\n"
                     "dns: {servers: [\"" +
                         dns.address() +
                         "\"], min_ttl: 1s}\n"
                         "origins:\n" +
                         origins + rest);
    }
    void start() {
        auto loaded = setup::load(folder.file("nearhop.yaml"), keys);
        for (const auto& problem : loaded.problems) ADD_FAILURE() << conf::to_string(problem, "nearhop.yaml");
        control = std::make_unique<Control>(loop, board, registry, std::move(*loaded.snapshot), keys);
        control->on_reload([this] { ++reloads; });
        control->start([this] { first_round = true; });
    }
    std::shared_ptr<const shared::Snapshot> now() const { return board.latest(); }
    health::State state(std::size_t origin) const { return now()->health->origins.at(origin).state; }
    std::string addresses(std::size_t origin) const {
        std::string text;
        for (const auto& endpoint : now()->addresses->by_origin.at(origin))
            text += (text.empty() ? "" : " ") + endpoint.text + (endpoint.down ? "(down)" : "");
        return text;
    }
    loop::Task<bool> first_round_over() {
        const auto over = [this] { return first_round; };
        co_return co_await until(loop, over);
    }
};

std::string line(const std::string& name, const std::string& host, std::uint16_t port, const std::string& more = "") {
    return "  " + name + ": {url: \"http://" + host + ':' + std::to_string(port) + '"' + more + "}\n";
}

TEST(Control, TheFirstRoundEndsWhenEveryOriginHasAResult) {
    ScriptedOrigin good{ScriptedOrigin::answering(well)};
    ScriptedOrigin bad{ScriptedOrigin::answering(sick)};
    World world;
    world.dns.set("good.test", false, {.addresses = {"127.0.0.1"}});
    world.dns.set("good.test", true, {});
    world.write(line("us-east-1", "good.test", good.port()) + line("eu-west-1", "127.0.0.1", bad.port()) +
                line("eu-west-2", "127.0.0.1", closed_port()) + line("eu-west-3", "missing.test", 80));
    world.start();
    EXPECT_EQ(world.now()->generation, world.board.generation());
    EXPECT_FALSE(world.now()->ready);
    const auto body = [](World& here) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        EXPECT_EQ(here.state(0).verdict, Verdict::up);
        EXPECT_GT(here.now()->health->origins[0].rtt_ms, 0);
        EXPECT_EQ(here.state(1).verdict, Verdict::down);
        EXPECT_EQ(here.state(1).status, 503u);
        EXPECT_EQ(here.state(2).reason, health::Reason::refused);
        EXPECT_EQ(here.state(3).reason, health::Reason::resolve_failed);
        EXPECT_EQ(here.addresses(3), "");
        EXPECT_NE(here.addresses(1).find("(down)"), std::string::npos);
    };
    ASSERT_TRUE(drive(world.loop, body(world)));
    EXPECT_EQ(world.addresses(0), "127.0.0.1:" + std::to_string(good.port()));

    const auto& status = world.control->status();
    ASSERT_EQ(status.origins.size(), 4u);
    EXPECT_TRUE(status.origins[0].by_name);
    EXPECT_GE(status.origins[0].dns_age_s, 0);
    EXPECT_EQ(status.origins[0].addresses.at(0).last.result.status, 200u);
    EXPECT_NE(status.origins[3].resolve_error, "");
    EXPECT_EQ(status.figures.at("us-east-1").resolves_ok, 1u);
    EXPECT_EQ(status.figures.at("us-east-1").connect.count, 1u);
    EXPECT_GE(status.figures.at("eu-west-1").probes[static_cast<std::size_t>(health::Reason::status)], 1u);
    EXPECT_EQ(status.figures.at("eu-west-1").changes[static_cast<std::size_t>(Verdict::down)], 1u);
    EXPECT_EQ(status.databases.at(0).name, "embedded");

    world.control->set_ready(true);
    EXPECT_TRUE(world.now()->ready);
    const auto generation = world.board.generation();
    world.control->set_ready(true);
    EXPECT_EQ(world.board.generation(), generation) << "nothing changed, nothing is published";
}

TEST(Control, AReloadThatFailsKeepsEverything) {
    ScriptedOrigin origin{ScriptedOrigin::answering(well)};
    World world;
    world.write(line("us-east-1", "127.0.0.1", origin.port()));
    world.start();
    const auto body = [](World& here, std::uint16_t port) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        const auto before = here.now();
        // Of form, of meaning, and no file at all.
        for (const std::string rest :
             {"nonsense: 1\n", "tls: {certificate: none.pem, private_key: none.key}\n", "gone"}) {
            if (rest == "gone")
                std::filesystem::remove(here.folder.file("nearhop.yaml"));
            else
                here.write(line("us-east-1", "127.0.0.1", port), rest);
            const auto result = co_await here.control->reload();
            EXPECT_FALSE(result.ok) << rest;
            EXPECT_TRUE(conf::has_errors(result.problems)) << rest;
            EXPECT_EQ(here.now(), before) << rest;
        }
    };
    ASSERT_TRUE(drive(world.loop, body(world, origin.port())));
    EXPECT_EQ(world.reloads, 0);
    EXPECT_EQ(world.control->status().reloads_failed, 3u);
    EXPECT_FALSE(world.control->status().reload_problems.empty());
}

TEST(Control, AReloadKeepsTheVerdictsOfTheOriginsThatStayAndNumbersThemAnew) {
    ScriptedOrigin first{ScriptedOrigin::answering(well)}, second{ScriptedOrigin::answering(sick)},
        third{ScriptedOrigin::answering(well)};
    World world;
    world.write(line("us-east-1", "127.0.0.1", first.port()) + line("eu-west-1", "127.0.0.1", second.port()));
    world.start();
    const auto body = [](World& here, std::uint16_t good, std::uint16_t bad, std::uint16_t fresh) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        // Other thresholds and intervals: still the same origins. Their order changes, one is new.
        here.write(line("eu-west-1", "127.0.0.1", bad, ", health: {fall: 5, interval: 9s}") +
                   line("ap-south-1", "127.0.0.1", fresh) + line("us-east-1", "127.0.0.1", good));
        const auto result = co_await here.control->reload();
        EXPECT_TRUE(result.ok);
        EXPECT_EQ(here.reloads, 1);
        EXPECT_EQ(here.now()->routing->config_generation, 2u);
        EXPECT_EQ(here.state(0).verdict, Verdict::down);
        EXPECT_EQ(here.state(1).verdict, Verdict::unknown);
        EXPECT_EQ(here.state(2).verdict, Verdict::up);
        EXPECT_EQ(here.addresses(2), "127.0.0.1:" + std::to_string(good));
        const auto up = [&here] { return here.state(1).verdict == Verdict::up; };
        EXPECT_TRUE(co_await until(here.loop, up));

        // Another address to ask is another origin.
        here.write(line("us-east-1", "127.0.0.1", good, ", health: {path: /deep}"));
        EXPECT_TRUE((co_await here.control->reload()).ok);
        EXPECT_EQ(here.state(0).verdict, Verdict::unknown);
    };
    ASSERT_TRUE(drive(world.loop, body(world, first.port(), second.port(), third.port())));
    EXPECT_EQ(world.control->status().reloads_ok, 2u);
    EXPECT_EQ(world.control->status().config_generation, 3u);
}

TEST(Control, ManyReloadsInARowLoseNothing) {
    ScriptedOrigin origin{ScriptedOrigin::answering(well)};
    World world;
    world.dns.set("good.test", false, {.addresses = {"127.0.0.1"}});
    world.dns.set("good.test", true, {});
    world.write(line("us-east-1", "good.test", origin.port()));
    world.start();
    const auto body = [](World& here) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        const auto since = here.state(0).since;
        for (int i = 0; i < 50; ++i) {
            EXPECT_TRUE((co_await here.control->reload()).ok);
            EXPECT_EQ(here.state(0).since, since);
            EXPECT_NE(here.addresses(0), "");
            loop::Wake wake{here.loop};
            loop::Timer timer{here.loop, wake};
            timer.expires_after(loop::milliseconds{4});
            co_await wake.wait();
        }
    };
    ASSERT_TRUE(drive(world.loop, body(world)));
    EXPECT_EQ(world.dns.questions(), 2) << "an answer that still holds is not asked for again";
}

TEST(Control, AReloadThatAsksAnOriginSomethingElseKeepsWhatItsNameResolvedTo) {
    ScriptedOrigin origin{ScriptedOrigin::answering(well)}, other{ScriptedOrigin::answering(well)};
    World world;
    world.dns.set("good.test", false, {.addresses = {"127.0.0.1"}});
    world.dns.set("good.test", true, {});
    world.write(line("us-east-1", "good.test", origin.port()));
    world.start();
    const auto body = [](World& here, std::uint16_t port, std::uint16_t next) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        here.dns.set("good.test", false, {.silent = true});
        here.dns.set("good.test", true, {.silent = true});
        // Another path, another name of the origin, another port: the name is the same.
        const std::string changed[] = {line("us-east-1", "good.test", port, ", health: {path: /deep}"),
                                       line("eu-west-1", "good.test", port), line("eu-west-1", "good.test", next)};
        for (const auto& origins : changed) {
            here.write(origins);
            EXPECT_TRUE((co_await here.control->reload()).ok);
            EXPECT_EQ(here.addresses(0), "127.0.0.1:" + std::to_string(&origins == &changed[2] ? next : port));
            EXPECT_EQ(here.state(0).verdict, Verdict::unknown) << "what the old probe said does not count";
            EXPECT_GE(here.control->status().origins.at(0).dns_age_s, 0);
            const auto up = [&here] { return here.state(0).verdict == Verdict::up; };
            EXPECT_TRUE(co_await until(here.loop, up));
        }
        here.write(line("us-east-1", "other.test", port));
        EXPECT_TRUE((co_await here.control->reload()).ok);
        EXPECT_EQ(here.addresses(0), "") << "another name is another matter";
    };
    ASSERT_TRUE(drive(world.loop, body(world, origin.port(), other.port())));
}

TEST(Control, ReportsOfLiveTrafficEjectAndAreReadFromAnyThread) {
    ScriptedOrigin origin{ScriptedOrigin::answering(well)};
    World world;
    world.write(line("us-east-1", "127.0.0.1", origin.port()));
    world.start();
    std::atomic<bool> reading{true};
    std::thread reader{[&] {
        shared::View view{world.board};
        while (reading) EXPECT_LE(view.get()->health->origins.size(), 1u);
    }};
    const auto body = [](World& here) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        std::thread worker{[&here] {
            const shared::PassiveReport failed{here.now()->routing, 0, health::Passive::connect_failed,
                                               health::Reason::refused, ""};
            here.control->report({failed, failed});
            here.control->report({failed});
        }};
        worker.join();
        const auto ejected = [&here] { return here.state(0).ejected; };
        EXPECT_TRUE(co_await until(here.loop, ejected));
        EXPECT_EQ(here.state(0).verdict, Verdict::up);
        EXPECT_EQ(here.addresses(0).find("(down)"), std::string::npos) << "the attempt says nothing of the address";
        EXPECT_EQ(here.control->status().figures.at("us-east-1").ejections, 1u);
        here.control->report({{here.now()->routing, 0, health::Passive::ok, health::Reason::none, ""}});
    };
    EXPECT_TRUE(drive(world.loop, body(world)));
    reading = false;
    reader.join();
    world.control.reset();  // with mail still on its way
}

TEST(Control, DialsThatFailCountAgainstTheirAddress) {
    ScriptedOrigin origin{ScriptedOrigin::answering(well)};
    World world;
    world.write(line("us-east-1", "127.0.0.1", origin.port()));
    world.start();
    const auto body = [](World& here) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        const shared::PassiveReport failed{here.now()->routing, 0, health::Passive::connect_failed,
                                           health::Reason::refused, here.addresses(0)};
        here.control->report({failed, failed, failed});
        const auto marked = [&here] { return here.addresses(0).find("(down)") != std::string::npos; };
        EXPECT_TRUE(co_await until(here.loop, marked));
        EXPECT_FALSE(here.state(0).ejected);
    };
    EXPECT_TRUE(drive(world.loop, body(world)));
}

TEST(Control, WhatWorkersCountFeedsTheShareOfFailures) {
    ScriptedOrigin origin{ScriptedOrigin::answering(well)};
    World world;
    world.write(line("us-east-1", "127.0.0.1", origin.port()));
    const auto counters = world.registry.pool(0, "us-east-1");
    world.start();
    const auto body = [](World& here, account::PoolCounters& count) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        count.ok.add(5);
        count.failed.add(20);
        const auto ejected = [&here] { return here.state(0).ejected; };
        EXPECT_TRUE(co_await until(here.loop, ejected));
        EXPECT_EQ(here.state(0).ejected_for, health::Reason::ratio);
    };
    EXPECT_TRUE(drive(world.loop, body(world, *counters)));
}

TEST(Control, AddressesFollowDnsAndAFailedResolveKeepsThem) {
    ScriptedOrigin origin{ScriptedOrigin::answering(well)};
    World world;
    world.dns.set("moving.test", false, {.addresses = {"127.0.0.1"}, .ttl = 0});
    world.dns.set("moving.test", true, {});
    world.write(line("us-east-1", "moving.test", origin.port()));
    world.start();
    const auto body = [](World& here, std::uint16_t port) -> loop::Task<> {
        EXPECT_TRUE(co_await here.first_round_over());
        const std::string end = ':' + std::to_string(port);
        EXPECT_EQ(here.addresses(0), "127.0.0.1" + end);
        here.dns.set("moving.test", false, {.addresses = {"127.0.0.2", "127.0.0.1"}, .ttl = 0});
        // Nobody listens on the new one: its first probe says so, and the origin stays up by the other.
        const std::string expected = "127.0.0.1" + end + " 127.0.0.2" + end + "(down)";
        const auto moved = [&] { return here.addresses(0) == expected; };
        EXPECT_TRUE(co_await until(here.loop, moved)) << here.addresses(0);
        EXPECT_EQ(here.state(0).verdict, Verdict::up);
        here.dns.set("moving.test", false, {.code = 2});
        const auto failed = [&here] { return !here.control->status().origins.at(0).resolve_error.empty(); };
        EXPECT_TRUE(co_await until(here.loop, failed));
        EXPECT_EQ(here.addresses(0), expected);
        EXPECT_EQ(here.state(0).verdict, Verdict::up);
    };
    EXPECT_TRUE(drive(world.loop, body(world, origin.port())));
}

TEST(Build, SaysWhatAnOriginIsCalledAndKnownBy) {
    World world;
    world.write(
        "  us-east-1: https://api.example.com\n"
        "  eu-west-1: http://api.example.com:8080\n"
        "  eu-west-2: \"https://[2001:db8::1]:8443\"\n");
    const auto loaded = setup::load(world.folder.file("nearhop.yaml"), world.keys);
    ASSERT_TRUE(loaded.snapshot);
    const auto& origins = loaded.snapshot->routing->origins;
    EXPECT_EQ(origins[0].host_field, "api.example.com");
    EXPECT_TRUE(origins[0].context);
    EXPECT_EQ(origins[1].host_field, "api.example.com:8080");
    EXPECT_FALSE(origins[1].context || origins[1].tls);
    EXPECT_EQ(origins[2].host_field, "[2001:db8::1]:8443");
    EXPECT_TRUE(origins[2].host_is_address);
    EXPECT_EQ(origins[2].context, origins[0].context) << "one store for one CA file";
    EXPECT_NE(origins[0].identity, origins[1].identity);
    EXPECT_FALSE(loaded.snapshot->server_tls);
    EXPECT_EQ(loaded.snapshot->health->origins.size(), 3u);
    EXPECT_EQ(loaded.snapshot->addresses->by_origin.size(), 3u);
}

TEST(Build, ReportsTheProblemsOfAllFilesWithTheirPlaces) {
    World world;
    world.folder.write("bad.mmdb", "hello");
    world.folder.write("bad.pem", "hello");
    world.write("  us-east-1: {url: \"https://api.example.com\", ca: bad.pem}\n",
                "geo: {databases: [bad.mmdb, missing.mmdb]}\n"
                "tls: {certificate: none.pem, private_key: none.key}\n");
    const auto loaded = setup::load(world.folder.file("nearhop.yaml"), world.keys);
    EXPECT_FALSE(loaded.snapshot);
    EXPECT_EQ(std::count_if(loaded.problems.begin(), loaded.problems.end(),
                            [](const auto& problem) { return problem.mark.line > 0; }),
              5);
}

}  // namespace
}  // namespace nearhop::control
