#include "proxy/setup/rto.h"

#include "conf/parse.h"
#include "proxy/simulate/random.h"
#include "tests/proxy/simulate/world.h"
#include "tests/rounds.h"

#include <algorithm>

/// The bound that `nearhop check` states, against failures that happen.
namespace nearhop::simulate {
namespace {

using namespace std::chrono_literals;

constexpr microseconds fails_at = 5s;
constexpr microseconds ordinary = 600ms;  ///< more than any request takes that meets no failure

std::string ms(std::uint64_t value) { return std::to_string(value) + "ms"; }

struct Felt {
    microseconds detection{}, delay{}, total{};
    unsigned errors = 0;
};

/// One failure of eu-west-1, felt by clients who ask it.
Felt feel(const std::string& config, const std::string& fault, std::uint64_t seed, conf::Config& read_config) {
    const auto read = test::scenario(test::regions(config) + "seed: " + std::to_string(seed) +
                                     "\nduration: 90s\n"
                                     "traffic: [{countries: [DE, FR], rate: 4/s, clients: 20, puts: 20%}]\n"
                                     "events: [{at: 5s, origin: eu-west-1, fault: " +
                                     fault + "}]\n");
    read_config = read.config;
    const auto outcome = simulate(read);
    Felt felt;
    for (const auto& happening : outcome.timeline)
        if (happening.what.starts_with("origin=eu-west-1 verdict=down") && felt.detection == 0us)
            felt.detection = happening.when - fails_at;
    for (const auto& request : outcome.requests) {
        felt.errors += request.failed() ? 1 : 0;
        if (request.began + request.took < fails_at || request.took <= ordinary) continue;
        felt.delay = std::max(felt.delay, request.took);
        felt.total = std::max(felt.total, request.began + request.took - fails_at);
    }
    return felt;
}

health::Rto bound_of(const conf::Config& config) {
    for (const auto& each : setup::rto_of(config))
        if (each.origin == "eu-west-1") return each.bound;
    ADD_FAILURE() << "no bound";
    return {};
}

TEST(Rto, AThousandFailuresAreNeverLongerThanTheBound) {
    Random random{20};
    const std::uint64_t failures = nearhop::test::rounds(1000);
    const char* faults[] = {"refused", "unreachable", "blackhole", "reset", "hang"};
    for (std::uint64_t number = 0; number < failures; ++number) {
        const std::string config =
            "  health: {interval: " + ms(500 + random.below(9'500)) +
            ", interval_transitional: " + ms(100 + random.below(1'900)) +
            ", jitter: " + std::to_string(random.below(51)) + ", timeout: " + ms(700 + random.below(2'300)) +
            ", connect_timeout: " + ms(300 + random.below(1'700)) + ", fall: " + std::to_string(1 + random.below(5)) +
            "}\n" + "  passive: {enabled: " + (random.happens(50) ? "true" : "false") + "}\n" +
            "  failover: {budget_minimum: 1000, connect_timeout: " + ms(300 + random.below(700)) +
            ", tls_timeout: " + ms(1'000 + random.below(2'000)) + "}\n" +
            "  sites: {all: {head_timeout: " + ms(1'000 + random.below(9'000)) + "}}\n";
        const std::string fault = faults[random.below(std::size(faults))];
        conf::Config read;
        const Felt felt = feel(config, fault, number, read);
        const auto bound = bound_of(read);
        ASSERT_EQ(felt.errors, 0u) << fault << '\n' << config;
        ASSERT_GT(felt.detection, 0us) << fault << '\n' << config;
        ASSERT_LE(felt.detection, bound.detection) << fault << '\n' << config;
        ASSERT_LE(felt.delay, bound.delay + ordinary) << fault << '\n' << config;
        ASSERT_LE(felt.total, bound.total + ordinary) << fault << '\n' << config;
    }
}

TEST(Rto, TheBoundIsNotFarAboveTheWorstThatHappens) {
    const std::string config = "  passive: {enabled: false}\n  failover: {budget_minimum: 1000}\n";
    Felt worst;
    health::Rto bound;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        conf::Config read;
        const Felt felt = feel(config, "hang", seed, read);
        bound = bound_of(read);
        worst.detection = std::max(worst.detection, felt.detection);
        worst.delay = std::max(worst.delay, felt.delay);
    }
    EXPECT_LE(worst.detection, bound.detection);
    EXPECT_GE(worst.detection * 100, microseconds{bound.detection} * 90) << "within 10 % for an origin that hangs";
    EXPECT_GE(worst.delay * 100, microseconds{bound.delay} * 80)
        << "a connection closed just in time is rare: within 20 %";
}

TEST(Rto, ATargetThatIsMissedIsAProblemAtItsPlace) {
    const std::string start = "listen: 127.0.0.1:0\ntls: {certificate: c, private_key: k}\n";
    const std::string two = "origins: {us-east-1: https://a.example, eu-west-1: https://b.example}\n";
    struct {
        const char* name;
        std::string yaml;
        const char* said;  ///< empty: nothing
    } rows[] = {
        {"the defaults take less than 30 s", "rto_target: 30s\n" + two, ""},
        {"and more than 10 s", "rto_target: 10s\n" + two,
         "s.yaml:3:13: error: rto_target: origin us-east-1: want at most 10s"},
        {"faster probes and heads",
         "rto_target: 10s\nhealth: {interval: 1s, timeout: 500ms, connect_timeout: 500ms}\n"
         "sites: {all: {head_timeout: 2s}}\n" +
             two,
         ""},
        {"one origin has its own",
         "rto_target: 1m\norigins: {us-east-1: https://a.example, eu-west-1: {url: https://b.example, rto_target: "
         "5s}}\n",
         "error: origins.eu-west-1.rto_target: origin eu-west-1: want at most 5s"},
        {"nothing takes over", "rto_target: 30s\norigins: {us-east-1: https://a.example}\n",
         "no other origin takes over in site default"},
        {"failover is off", "rto_target: 30s\nfailover: {enabled: false}\n" + two, "failover.enabled is false"},
        {"a sent request stays", "rto_target: 30s\nfailover: {sent_candidates: 1}\n" + two,
         "no other origin takes over in site default"},
    };
    for (const auto& [name, yaml, said] : rows) {
        SCOPED_TRACE(name);
        const auto parsed = conf::parse(start + yaml, "s.yaml");
        ASSERT_TRUE(parsed.config);
        conf::Problems problems;
        setup::check_rto(*parsed.config, problems);
        std::string all;
        for (const auto& problem : problems) all += conf::to_string(problem, "s.yaml") + '\n';
        EXPECT_EQ(all.empty(), *said == '\0') << all;
        EXPECT_NE(all.find(said), std::string::npos) << all;
    }
}

}  // namespace
}  // namespace nearhop::simulate
