#pragma once

#include "proxy/simulate/read.h"
#include "proxy/simulate/simulate.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

/// Scenarios as a file would have them.
namespace nearhop::simulate::test {

inline std::string lines(const ReadResult& result) {
    std::string all;
    for (const auto& [file, problem] : result.problems) all += conf::to_string(problem, file) + '\n';
    return all;
}

/// Three regions, and whatever else `config` says of them.
inline std::string regions(const std::string& config = {}) {
    return "config:\n"
           "  origins:\n"
           "    us-east-1: https://us.example.com\n"
           "    eu-west-1: https://eu.example.com\n"
           "    ap-southeast-1: https://ap.example.com\n" +
           config;
}

inline Scenario scenario(const std::string& yaml) {
    auto result = read_scenario(yaml, "s.yaml");
    if (!result.scenario) throw std::runtime_error{lines(result) + yaml};
    return std::move(*result.scenario);
}
inline Outcome run(const std::string& yaml) { return simulate(scenario(yaml)); }

/// What a sentence measures in an outcome; fails the test if it cannot be read.
inline Verdict verdict(const std::string& sentence, const Outcome& outcome, const conf::Config& config) {
    std::string problem;
    const auto condition = parse_condition(sentence, config, problem);
    if (condition) return judge(*condition, outcome);
    ADD_FAILURE() << sentence << ": " << problem;
    return {};
}

/// Each of the sentences holds in what comes of it.
inline Outcome expect(const std::string& yaml, const std::vector<std::string>& sentences) {
    const auto read = scenario(yaml);
    const auto outcome = simulate(read);
    std::string timeline;
    for (const auto& each : outcome.timeline)
        timeline += std::to_string(each.when.count() / 1000) + "ms " + each.what + '\n';
    for (const auto& sentence : sentences) {
        const auto found = verdict(sentence, outcome, read.config);
        EXPECT_TRUE(found.holds) << sentence << ": " << found.measured << '\n' << timeline;
    }
    return outcome;
}

}  // namespace nearhop::simulate::test
