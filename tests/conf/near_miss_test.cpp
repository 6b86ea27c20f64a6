#include "conf/parse.h"

#include <gtest/gtest.h>

namespace nearhop::conf {
namespace {

TEST(NearMiss, IsTheNearestNameWithinTwoEdits) {
    const std::vector<std::string> known{"listen", "listeners", "tls", "origins"};
    EXPECT_EQ(near_miss("listn", known), "listen");
    EXPECT_EQ(near_miss("Listen", known), "listen");
    EXPECT_EQ(near_miss("lsiten", known), "listen");
    EXPECT_EQ(near_miss("listener", known), "listeners");
    EXPECT_EQ(near_miss("origin", known), "origins");
    EXPECT_EQ(near_miss("oorrginns", known), "");
    EXPECT_EQ(near_miss("gateways", known), "");
}

TEST(NearMiss, AWordWithNothingInCommonIsNone) {
    EXPECT_EQ(near_miss("xy", {"eu"}), "");
    EXPECT_EQ(near_miss("", {"eu"}), "");
    EXPECT_EQ(near_miss(std::string(1'000'000, 'a'), {"eu", "listen"}), "");
}

}  // namespace
}  // namespace nearhop::conf
