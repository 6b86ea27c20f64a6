#include "tests/proxy/simulate/world.h"

#include <filesystem>
#include <fstream>

namespace nearhop::simulate {
namespace {

using namespace std::chrono_literals;
using test::lines;
using test::regions;

const std::string traffic = "traffic: [{countries: DE, rate: 1/s}]\n";

TEST(ReadScenario, DefaultsAndWhatIsWritten) {
    const auto plain = test::scenario(regions() + traffic);
    EXPECT_EQ(plain.seed, 1u);
    EXPECT_EQ(plain.duration, 60s);
    EXPECT_EQ(plain.workers, 2u);
    EXPECT_EQ(plain.traffic[0].clients, 100u);
    EXPECT_LT(plain.origins[1].rtt, plain.origins[0].rtt) << "the edge stands where its first clients are";

    const auto full = test::scenario(regions() +
                                     "seed: 7\nduration: 10m\ninterval: 5s\nworkers: 4\nedge: SG\n"
                                     "origins: {us-east-1: {rtt: 80ms, noise: 20%, answer: 5ms, addresses: 2}}\n"
                                     "traffic: [{countries: [eu, US], clients: 50, rate: 600/m, writes: 10%, puts: 5, "
                                     "keys: 50%, repeats: 2, repeat_after: 3s}]\n"
                                     "events:\n"
                                     "  - {at: 90s, origin: all, fault: none}\n"
                                     "  - {at: 12s, origin: us-east-1, address: 2, fault: errors, share: 30%, "
                                     "every: 2s, hits: requests}\n"
                                     "assert: [errors <= 0]\n");
    EXPECT_EQ(full.origins[0].addresses, 2u);
    EXPECT_LT(full.origins[2].rtt, full.origins[1].rtt);
    EXPECT_GE(full.traffic[0].countries.size(), 28u) << "27 of the union, and America";
    EXPECT_EQ(full.traffic[0].keys, 50u);
    EXPECT_EQ(full.traffic[0].repeats, 2u);
    EXPECT_EQ(full.traffic[0].repeat_after, 3s);
    ASSERT_EQ(full.events.size(), 2u);
    EXPECT_EQ(full.events[0].at, 12s) << "in order of time";
    EXPECT_EQ(full.events[1].origins.size(), 3u);
    EXPECT_EQ(full.conditions.size(), 1u);
}

TEST(ReadScenario, EveryProblemHasLineColumnKeyAndNearMiss) {
    struct {
        std::string yaml;
        const char* said;
    } rows[] = {
        {"", "s.yaml:1:1: error: config: is missing"},
        {regions() + "trafic: []\n", "s.yaml:6:1: error: trafic: unknown key; did you mean \"traffic\"?"},
        {regions(), "traffic: is missing"},
        {regions("  failovr: {}\n") + traffic, "s.yaml:6:3: error: config.failovr: unknown key; did you mean"},
        {regions("    mars: https://mars.example.com\n") + traffic, "s.yaml:6:5: error: config.origins.mars"},
        {regions() + "traffic: [{countries: DE}]\n", "traffic[0].rate: is missing"},
        {regions() + "traffic: [{countries: XX, rate: 1/s}]\n",
         "s.yaml:6:23: error: traffic[0].countries: want a country"},
        {regions() + "traffic: [{countries: DE, rate: 1}]\n", "traffic[0].rate: want a number per second"},
        {regions() + "traffic: [{countries: DE, rate: off}]\n",
         "s.yaml:6:33: error: traffic[0].rate: want a number per second, minute or hour such as 20/s, 600/m or 5/h, "
         "found "
         "\"off\"\n"},
        {regions() + "traffic: [{countries: DE, rate: 1/s, writes: 60%, puts: 60%}]\n", "together at most 100%"},
        {regions() + "traffic: [{countries: DE, rate: 1/s, keys: 10%}]\n", "traffic[0].keys: want `writes`"},
        {regions() + "traffic: [{countries: DE, rate: 1/s, repeat_after: 2s}]\n", "repeat_after: want `repeats`"},
        {regions() + "traffic: [{countries: DE, rate: 1/s, repeats: 11}]\n", "traffic[0].repeats: want"},
        {regions() + "traffic: [{countries: DE, rate: 20000/s, repeats: 10}]\n",
         "want at most 5000000 requests in all"},
        {regions() + "traffic: [{countries: DE, rate: 1000000/s}]\n", "want at most 5000000 requests in all"},
        {regions() + "traffic: [{countries: DE, rate: 1/s, site: man}]\n", "traffic[0].site: want a site's name"},
        {regions() + traffic + "origins: {us-esat-1: {}}\n", "did you mean \"us-east-1\"?"},
        {regions() + traffic + "events: [{at: 1s, origin: us-esat-1, fault: refused}]\n",
         "did you mean \"us-east-1\"?"},
        {regions() + traffic + "events: [{at: 60s, origin: all, fault: refused}]\n",
         "s.yaml:7:15: error: events[0].at: want a time before the end of the scenario, found 1m in a duration of 1m"},
        {regions() + traffic +
             "duration: 10s\nevents: [{at: 9s, origin: all, fault: refused}, "
             "{at: 90s, origin: all, fault: none}]\n",
         "s.yaml:8:54: error: events[1].at: want a time before the end of the scenario, found 90s"},
        {regions() + traffic + "events: [{at: 1s, origin: all, fault: refusd}]\n", "did you mean \"refused\"?"},
        {regions() + traffic + "events: [{at: 1s, origin: all, fault: slow}]\n", "delay: is missing: want a duration"},
        {regions() + traffic + "events: [{at: 1s, origin: all, fault: refused, share: 5}]\n", "belongs to the faults"},
        {regions() + traffic + "events: [{at: 1s, origin: all, fault: refused, address: 2}]\n",
         "origin us-east-1 has 1 in this scenario"},
        {regions() + traffic + "assert: [errors <= 0, errors =< 0]\n", "s.yaml:7:23: error: assert[1]: want <=, >="},
        {"config: nowhere.yaml\n" + traffic, "nowhere.yaml: error: not readable"},
    };
    for (const auto& [yaml, said] : rows) {
        SCOPED_TRACE(yaml);
        const auto result = read_scenario(yaml, "s.yaml");
        EXPECT_FALSE(result.scenario);
        EXPECT_NE(lines(result).find(said), std::string::npos) << lines(result);
    }
}

TEST(ReadScenario, AConfigurationOfItsOwnIsFoundBesideTheScenario) {
    const auto folder = std::filesystem::path{NEARHOP_SOURCE_DIR} / "conf" / "examples" / "s.yaml";
    const auto result = read_scenario("config: read-replicas.yaml\n" + traffic, folder.string());
    EXPECT_EQ(lines(result), "");
    ASSERT_TRUE(result.scenario);
    EXPECT_FALSE(result.scenario->config.origins.empty());
}

}  // namespace
}  // namespace nearhop::simulate
