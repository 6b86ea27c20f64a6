#include "proxy/steering/explain.h"
#include "proxy/steering/locate.h"
#include "tests/proxy/steering/world.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

// Counts what this binary allocates, for the tests that forbid it. A sanitizer's own allocator stays underneath.
namespace {
std::atomic<std::size_t> allocations{0};
}

// Not inlined: GCC would see free() of what a visible operator new made, and call it a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
    throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace nearhop::steering::test {
namespace {

std::string site_of_policy(const char* policy) {
    return "sites:\n  main:\n    default: true\n    policy: " + std::string{policy} +
           "\n    writes: [us-east-1, eu-west-1]\n"
           "    routes: [{path: /pinned, origins: [eu-west-1, sa-east-1]}]\n" +
           (std::string_view{policy} == "country"
                ? "    countries: {DE: {origins: [eu-west-1, sa-east-1], only: true}, default: [us-west-2]}\n"
                : "");
}

class Invariants : public testing::TestWithParam<const char*> {
protected:
    World world{
        "health: {checks: {cache: note, database: writes, storage: [/pinned/*]}}\n"
        "geo: {overrides: [{cidr: 10.0.0.0/16, origins: [sa-east-1, us-east-1]}]}\n" +
        three + "  us-west-2: https://usw.example.com\n  sa-east-1: https://sa.example.com\n" +
        site_of_policy(GetParam())};
    std::mt19937 dice{20240229};  // fixed: a failure must come back

    unsigned roll(unsigned sides) { return static_cast<unsigned>(dice() % sides); }

    void shuffle_health() {
        world.local.skips = OriginSet{dice() & dice() & 31U};
        world.local.stalled = world.local.skips & OriginSet{dice() & 31U};
        world.local.busy = OriginSet{dice() & dice() & 31U};
        world.local.full = OriginSet{dice() & dice() & 31U};
        for (auto& origin : world.health.origins) {
            origin.state.verdict = static_cast<health::Verdict>(roll(4));
            origin.state.ejected = roll(3) == 0;
            origin.state.draining = roll(5) == 0;
            origin.state.agent = roll(4) == 0 ? health::Agent::drain : health::Agent::none;
            origin.state.order = roll(8) == 0 ? health::Override::force_down : health::Override::none;
            origin.failing = roll(2) == 0 ? health::CheckSet{} : static_cast<health::CheckSet>(roll(8));
            origin.rtt_ms = roll(3) == 0 ? -1.0 : static_cast<double>(roll(300));
        }
    }
    geo::Place any_place() {
        constexpr const char* codes[] = {"DE", "JP", "US", "BR", "ZA"};
        geo::Place place;
        const unsigned kind = roll(3);
        if (kind == 1) place = from(codes[roll(5)]);
        if (kind == 2)
            place = geo::place_of(geo::point_at(roll(180) - 89.5, roll(360) - 179.5).value(), country("DE"),
                                  geo::Source::header);
        if (roll(4) == 0) place.override_index = 0;
        return place;
    }
};

TEST_P(Invariants, HoldForAnyHealthAndPlace) {
    constexpr const char* methods[] = {"GET", "POST"};
    constexpr const char* paths[] = {"/", "/pinned/x"};
    const SiteTable& site = world.table->sites[0];
    for (int round = 0; round < 20'000; ++round) {
        shuffle_health();
        const geo::Place place = any_place();
        const char* method = methods[roll(2)];
        const char* path = paths[roll(2)];
        const Decision decision = world.ask(place, method, path);
        SCOPED_TRACE(std::to_string(round) + " " + method + " " + path + " " + world.text(decision.all()));

        OriginSet seen;
        for (const Considered& origin : decision.all()) {
            ASSERT_FALSE(seen[origin.position]) << "considered twice";
            ASSERT_EQ(site.origins[index_of(origin.position)], origin.id);
            seen.set(origin.position);
        }
        ASSERT_EQ(seen, site.members) << "every origin of the site is considered once";

        OriginSet chosen;
        for (const Considered& origin : decision.chosen()) {
            ASSERT_FALSE(chosen[origin.position]);
            chosen.set(origin.position);
            const auto& state = world.health.origins[origin.id].state;
            ASSERT_FALSE(is_forbidden(origin.reason));
            ASSERT_FALSE(state.draining);
            ASSERT_NE(state.order, health::Override::force_down);
            ASSERT_TRUE(!(method[0] == 'P') || site.writers[origin.position]);
            ASSERT_TRUE(site.routes[decision.route].allowed[origin.position]);
            ASSERT_EQ(state.verdict == health::Verdict::down, origin.reason == Reason::all_down_open);
            const auto same = std::find_if(decision.all().begin(), decision.all().end(),
                                           [&](const Considered& other) { return other.id == origin.id; });
            ASSERT_EQ(same->reason, origin.reason);
            ASSERT_EQ(same->km, origin.km);
        }
        // Nobody is left without an origin that could have served.
        if (decision.candidate_count == 0) {
            for (const Considered& origin : decision.all())
                ASSERT_TRUE(is_forbidden(origin.reason) || origin.reason == Reason::draining ||
                            origin.reason == Reason::forced_down);
        }
        // Whoever cannot do what is asked for comes after all who can.
        const auto cannot = [&](const Considered& origin) {
            const auto failing = world.health.origins[origin.id].failing;
            return ((failing & 2U) != 0 && method[0] == 'P') || ((failing & 4U) != 0 && path[1] != '\0');
        };
        for (std::size_t i = 1; i < decision.chosen().size(); ++i) {
            const auto& state = world.health.origins[decision.chosen()[i].id].state;
            if (!cannot(decision.chosen()[i - 1]) || cannot(decision.chosen()[i])) continue;
            ASSERT_TRUE(state.ejected || state.verdict == health::Verdict::down ||
                        world.local.skips[decision.chosen()[i].position]);
        }
        ASSERT_EQ(world.text(world.ask(place, method, path).all()), world.text(decision.all())) << "not stable";
    }
}

TEST_P(Invariants, HealthOfForbiddenOriginsChangesNothingForTheOthers) {
    for (int round = 0; round < 5'000; ++round) {
        shuffle_health();
        const geo::Place place = any_place();
        const std::string before = world.text(world.ask(place, "POST", "/pinned").chosen());
        const Decision first = world.decision;
        for (const Considered& origin : first.all())
            if (is_forbidden(origin.reason)) {
                world.health.origins[origin.id].state.verdict = static_cast<health::Verdict>(roll(4));
                world.health.origins[origin.id].rtt_ms = static_cast<double>(roll(300));
            }
        ASSERT_EQ(world.text(world.ask(place, "POST", "/pinned").chosen()), before);
    }
}

TEST_P(Invariants, NothingIsAllocated) {
    const geo::Locator locator{{}, {geo::Database::open_embedded().database}};
    const Trust trust{{{geo::Cidr::parse("10.0.0.0/8").value(), "", ""}}};
    ViewerFields fields;
    fields.country = "US";
    fields.country_region = "CA";
    fields.address = "2001:4860:4860::8888:443";
    fields.latitude = "37.123456789012345678901234567890";
    fields.longitude = "-122.08";
    fields.forwarded_for.add("192.0.2.1, [2001:db8::1]:80, 10.0.0.7");
    const auto peer = geo::Address::parse("10.0.0.1").value();
    const auto stranger = geo::Address::parse("8.8.8.8").value();
    const auto once = [&](int round) {
        shuffle_health();
        const geo::Place place =
            round % 2 == 0 ? any_place()
                           : locate(round % 3 == 0 ? peer : stranger, round % 3 == 0, fields, trust, locator).place;
        if (const auto site = world.table->site_of("WWW.some.Example.com.:443"))
            decide({.site = *site, .method = "POST", .path = "/pinned/and/longer"}, place, *world.table, world.health,
                   world.local, world.earlier, world.decision);
    };
    once(0);
    once(3);  // tables that are read on first use
    const std::size_t before = allocations.load();
    ASSERT_GT(before, 0U) << "the counter counts";
    for (int round = 0; round < 2'000; ++round) once(round);
    EXPECT_EQ(allocations.load(), before);
    EXPECT_GT(world.decision.considered_count, 0);
}

INSTANTIATE_TEST_SUITE_P(Policies, Invariants, testing::Values("nearest", "country", "failover", "latency"),
                         [](const auto& row) { return std::string{row.param}; });

}  // namespace
}  // namespace nearhop::steering::test
