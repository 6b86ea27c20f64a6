#include "tests/proxy/simulate/world.h"

namespace nearhop::simulate {
namespace {

using namespace std::chrono_literals;

constexpr geo::OriginId us = 0, eu = 1;

Request request(microseconds began, const char* country, geo::OriginId served, Method method = Method::get) {
    Request made;
    made.began = began;
    made.took = 50ms;
    made.country = static_cast<std::uint16_t>(geo::Country::parse(country)->index());
    made.client = made.country;
    made.served = served;
    made.status = 200;
    made.method = method;
    made.attempts = made.sent = 1;
    return made;
}

/// 40 seconds: Germany moves from eu to us at 20 s, with one error, one slow and one moved request; Canada stays.
Outcome sample() {
    Outcome outcome;
    outcome.interval = 10s;
    outcome.duration = 40s;
    outcome.origins = {"us-east-1", "eu-west-1", "ap-southeast-1"};
    outcome.attempts = {std::vector<std::uint32_t>(40, 1), std::vector<std::uint32_t>(40, 2),
                        std::vector<std::uint32_t>(40, 0)};
    outcome.attempts[us][30] = 9;
    for (int second = 0; second < 40; ++second) {
        outcome.requests.push_back(request(std::chrono::seconds{second}, "DE", second < 20 ? eu : us));
        outcome.requests.push_back(request(std::chrono::seconds{second}, "CA", us, Method::put));
    }
    Request failed = request(19500ms, "DE", no_origin, Method::post);
    failed.status = 504;
    failed.took = 2s;
    failed.sent = failed.attempts = 2;
    failed.moved = failed.twice = true;
    outcome.requests.push_back(failed);
    return outcome;
}

const conf::Config& config() {
    static const Scenario read = test::scenario(test::regions("  sites:\n"
                                                              "    main:\n"
                                                              "      policy: country\n"
                                                              "      groups: {north: [CA]}\n"
                                                              "      countries: {north: us-east-1}\n") +
                                                "traffic: [{countries: DE, rate: 1/s}]\n");
    return read.config;
}

struct Row {
    const char* sentence;
    bool holds;
    const char* measured;
};

TEST(Condition, EachFormMeasuresWhatItSays) {
    const Outcome outcome = sample();
    const Row rows[] = {
        {"share of DE clients on eu-west-1 <= 0 after t=20s", true, "0.0%"},
        {"share of DE clients on eu-west-1 <= 0", false, "100.0%"},
        {"share of eu clients on us-east-1 >= 100% from 20s to t=40s", true, "100.0%"},
        {"share of continent:NA clients on us-east-1 = 100", true, "100.0%"},
        {"share of north clients on us-east-1 > 99.5", true, "100.0%"},
        {"share of all clients on eu-west-1 < 55 before t=20s", true, "50.0%"},
        {"requests >= 81", true, "81"},
        {"requests of DE = 41", true, "41"},
        {"requests of CA clients = 40", true, "40"},
        {"requests of PUT = 40", true, "40"},
        {"errors <= 0", false, "1"},
        {"errors of GET <= 0", true, "0"},
        {"errors of POST < 2", true, "1"},
        {"errors of eu clients <= 0 after 20s", true, "0"},
        {"requests slower than 1.2s <= 1", true, "1"},
        {"requests slower than 2s <= 0", true, "0"},
        {"slowest request <= 1.2s", false, "2.000s"},
        {"slowest request of GET <= 50ms", true, "0.050s"},
        {"switches of DE <= 1", true, "1"},
        {"switches of CA clients <= 0", true, "0"},
        {"rate on us-east-1 <= 8/s", false, "9/s"},
        {"rate on us-east-1 <= 1 before t=30s", true, "1/s"},
        {"rate on eu-west-1 >= 2/s", true, "2/s"},
        {"moved requests <= 1", true, "1"},
        {"moved requests of POST > 0", true, "1"},
        {"double executions <= 0", false, "1"},
        {"double executions <= 0 after t=20s", true, "0"},
    };
    for (const auto& [sentence, holds, measured] : rows) {
        SCOPED_TRACE(sentence);
        const auto found = test::verdict(sentence, outcome, config());
        EXPECT_EQ(found.holds, holds);
        EXPECT_EQ(found.measured, measured);
    }
}

TEST(Condition, NothingToMeasureDoesNotHold) {
    for (const char* sentence :
         {"errors <= 0 after t=50s", "errors of JP <= 0", "share of FR clients on us-east-1 <= 0",
          "slowest request of JP <= 1s", "switches of JP <= 1", "rate on us-east-1 <= 9 after 1h"}) {
        const auto found = test::verdict(sentence, sample(), config());
        EXPECT_FALSE(found.holds) << sentence;
        EXPECT_EQ(found.measured, "nothing to measure") << sentence;
    }
}

TEST(Condition, WhatIsWrongIsSaidWithWhatIsWantedAndANearMiss) {
    struct {
        const char* sentence;
        const char* said;
    } rows[] = {
        {"",
         "want a measure: share, errors, requests, slowest, switches, rate, moved, hedged or double, found nothing"},
        {"eror <= 0", "found \"eror\""},
        {"errrors <= 0", "did you mean \"errors\"?"},
        {"errors 0", "want <=, >=, <, > or = behind \"errors\", found \"0\""},
        {"errors <=", "want a number behind \"<=\", found nothing"},
        {"errors <= many", "want a number behind \"<=\", found \"many\""},
        {"errors <= -1", "want a number"},
        {"errors <= 0 aftr t=1s", "did you mean \"after\"?"},
        {"errors <= 0 after 12", "want a time with its unit"},
        {"errors <= 0 after t=1s or so", "want the end"},
        {"errors <= 0 from 5s to 2s", "want a time that ends after it begins"},
        {"share of eu clients on us-esat-1 <= 0", "did you mean \"us-east-1\"?"},
        {"share of eu client on us-east-1 <= 0", "did you mean \"clients\"?"},
        {"share of nroth clients on us-east-1 <= 0", "did you mean \"north\"?"},
        {"share of eu clients on us-east-1 <= 101", "want percent from 0 to 100"},
        {"slowest request <= 1", "want a time with its unit"},
        {"rate on us-east-1 <= 5/m", "want a number per second, such as 60/s"},
        {"switches <= 2", "want of behind \"switches\", found \"<=\""},
    };
    for (const auto& [sentence, said] : rows) {
        SCOPED_TRACE(sentence);
        std::string problem;
        EXPECT_FALSE(parse_condition(sentence, config(), problem));
        EXPECT_NE(problem.find(said), std::string::npos) << problem;
    }
}

}  // namespace
}  // namespace nearhop::simulate
