#include "proxy/shared/pins.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nearhop::shared {
namespace {

using namespace std::chrono_literals;

struct PinsTest : testing::Test {
    PinsTest() { pins.prepare(64); }
    Pins pins{1234567, 7654321};
    std::uint64_t us = pins.origin("us-east-1"), eu = pins.origin("eu-west-1");
    std::uint64_t pay = pins.request("main", "POST", "/pay", "\"abc\"");
};

TEST_F(PinsTest, TheFirstOriginKeepsTheRequestUntilItExpires) {
    EXPECT_EQ(pins.find(pay, 0s), 0U);
    EXPECT_EQ(pins.claim(pay, us, 0s, 10s).origin, us);
    EXPECT_EQ(pins.find(pay, 9s), us);
    EXPECT_EQ(pins.claim(pay, eu, 5s, 10s).origin, us) << "it was there first";
    EXPECT_EQ(pins.find(pay, 10s), 0U);
    EXPECT_EQ(pins.claim(pay, eu, 10s, 10s).origin, eu);
}

TEST_F(PinsTest, EachRequestWithTheKeyBeginsTheTimeAnew) {
    pins.claim(pay, us, 0s, 10s);
    pins.claim(pay, us, 8s, 10s);
    EXPECT_EQ(pins.find(pay, 17s), us);
}

TEST_F(PinsTest, OnlyTheOriginThatHasItLetsItGo) {
    pins.claim(pay, us, 0s, 10s);
    pins.release(pay, eu);
    EXPECT_EQ(pins.find(pay, 1s), us);
    pins.release(pay, us);
    EXPECT_EQ(pins.find(pay, 1s), 0U);
}

TEST_F(PinsTest, EveryPartOfARequestCounts) {
    const std::set<std::uint64_t> all{pay,
                                      pins.request("other", "POST", "/pay", "\"abc\""),
                                      pins.request("main", "PATCH", "/pay", "\"abc\""),
                                      pins.request("main", "POST", "/pay?", "\"abc\""),
                                      pins.request("main", "POST", "/pay", "\"abd\""),
                                      pins.request("mainP", "OST", "/pay", "\"abc\""),
                                      pins.request("main", "POST", "/pay\"", "abc\"")};
    EXPECT_EQ(all.size(), 7U);
}

TEST_F(PinsTest, AFullTableForgetsWhatExpiresFirstAndSaysSo) {
    unsigned forgotten = 0, kept = 0;
    for (int i = 0; i < 1000; ++i)
        forgotten +=
            pins.claim(pins.request("main", "POST", "/", std::to_string(i)), us, std::chrono::seconds{i}, 1h).forgot;
    for (int i = 0; i < 1000; ++i) kept += pins.find(pins.request("main", "POST", "/", std::to_string(i)), 1000s) != 0;
    EXPECT_EQ(kept, 64U);
    EXPECT_EQ(forgotten, 1000U - 64U);
    EXPECT_NE(pins.find(pins.request("main", "POST", "/", "999"), 1000s), 0U);
    EXPECT_EQ(pins.find(pins.request("main", "POST", "/", "0"), 1000s), 0U);
}

TEST_F(PinsTest, WhatHasExpiredIsNotForgotten) {
    for (int i = 0; i < 64; ++i) pins.claim(pins.request("main", "POST", "/", std::to_string(i)), us, 0s, 1s);
    for (int i = 64; i < 1000; ++i)
        EXPECT_FALSE(
            pins.claim(pins.request("main", "POST", "/", std::to_string(i)), us, std::chrono::seconds{i}, 1s).forgot)
            << i;
}

}  // namespace
}  // namespace nearhop::shared
