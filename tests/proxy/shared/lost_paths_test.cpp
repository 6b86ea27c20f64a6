#include "proxy/shared/origin_load.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace nearhop::shared {
namespace {

loop::TimePoint at(int ms) { return loop::TimePoint{} + std::chrono::hours{24 * 365} + std::chrono::milliseconds{ms}; }

TEST(LostPaths, OnlyWhatWasSentLaterIsEvidence) {
    LostPaths lost;
    EXPECT_FALSE(lost.since("10.0.0.1:443", at(0)));
    lost.note("10.0.0.1:443", at(100));
    EXPECT_TRUE(lost.since("10.0.0.1:443", at(99)));
    EXPECT_TRUE(lost.since("10.0.0.1:443", at(100)));
    EXPECT_FALSE(lost.since("10.0.0.1:443", at(101))) << "it was sent when that was under way already";
}

TEST(LostPaths, OneAddressSaysNothingOfAnother) {
    LostPaths lost;
    lost.note("10.0.0.1:443", at(100));
    EXPECT_FALSE(lost.since("10.0.0.2:443", at(0)));
    EXPECT_FALSE(lost.since("[2001:db8::1]:443", at(0)));
    for (int port = 1; port <= 1000; ++port)
        EXPECT_FALSE(lost.since("10.0.0.1:" + std::to_string(10'000 + port), at(0)));
}

TEST(LostPaths, TheLatestCounts) {
    LostPaths lost;
    lost.note("10.0.0.1:443", at(200));
    lost.note("10.0.0.1:443", at(100));
    EXPECT_TRUE(lost.since("10.0.0.1:443", at(150)));
    lost.note("10.0.0.1:443", at(300));
    EXPECT_TRUE(lost.since("10.0.0.1:443", at(250)));
}

TEST(LostPaths, WhatSharesASlotIsForgottenAndNeverMixedUp) {
    LostPaths lost;
    std::vector<std::string> addresses;
    for (int port = 1; port <= 64; ++port) addresses.push_back("10.0.0.1:" + std::to_string(port));
    for (const auto& address : addresses) lost.note(address, at(100));
    int known = 0;
    for (const auto& address : addresses) {
        known += lost.since(address, at(50)) ? 1 : 0;
        EXPECT_FALSE(lost.since(address, at(101)));
    }
    EXPECT_GE(known, 1);
    EXPECT_LE(known, 8) << "one in each slot";
    EXPECT_TRUE(lost.since(addresses.back(), at(50)));
}

TEST(LostPaths, IsToldByOneThreadAndAskedByOthers) {
    LostPaths lost;
    std::atomic<bool> over{false};
    std::thread teller{[&] {
        for (int ms = 0; ms < 50'000; ++ms) lost.note(ms % 2 == 0 ? "a:1" : "b:1", at(ms));
        over = true;
    }};
    while (!over) {
        EXPECT_FALSE(lost.since("a:1", at(50'000)));
        EXPECT_FALSE(lost.since("c:1", at(0)));
    }
    teller.join();
    EXPECT_TRUE(lost.since("b:1", at(49'999)));
}

TEST(OriginLoad, OneProbeIsEnoughForAllWhoWaitAndOneMomentApart) {
    OriginLoad load;
    EXPECT_TRUE(load.first_to_want_probe(at(0), at(300)));
    EXPECT_FALSE(load.first_to_want_probe(at(0), at(900))) << "it was asked for after this one was sent";
    EXPECT_FALSE(load.first_to_want_probe(at(310), at(700))) << "a moment ago for another one";
    EXPECT_TRUE(load.first_to_want_probe(at(310), at(800)));
}

}  // namespace
}  // namespace nearhop::shared
