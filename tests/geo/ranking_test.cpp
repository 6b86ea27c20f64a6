#include "geo/ranking.h"

#include "geo/catalogue.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nearhop::geo {
namespace {

using Ids = std::vector<int>;

Ids ids(const OrderView& order) {
    Ids ids;
    for (const Position position : order.origins) ids.push_back(static_cast<int>(position));
    return ids;
}

Point at(double latitude, double longitude) { return point_at(latitude, longitude).value(); }

Ids ordered(const Point& from, const std::vector<OriginPoint>& origins) {
    Order order;
    order_by_distance(from, origins, order);
    return ids(order);
}

const std::vector<OriginPoint>& three_regions() {
    static const std::vector<OriginPoint> origins{
        {find_region("us-east-1")->point}, {find_region("eu-west-1")->point}, {find_region("ap-southeast-1")->point}};
    return origins;
}

TEST(Points, RefuseWhatIsNoPlace) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    const std::pair<double, double> bad[] = {{0, 0},     {-0.0, 0}, {90.001, 0}, {-91, 10},      {10, 180.1},
                                             {10, -181}, {nan, 10}, {10, nan},   {infinity, 10}, {10, -infinity}};
    for (const auto& [latitude, longitude] : bad)
        EXPECT_FALSE(point_at(latitude, longitude)) << latitude << ' ' << longitude;
    const std::pair<double, double> good[] = {{90, 180}, {-90, -180}, {0, 0.0001}, {51.5, 0}};
    for (const auto& [latitude, longitude] : good)
        EXPECT_TRUE(point_at(latitude, longitude)) << latitude << ' ' << longitude;
}

TEST(Distance, IsTheGreatCircleInWholeKilometres) {
    const Point berlin = at(52.52, 13.405);
    EXPECT_EQ(distance_km(berlin, berlin), 0);
    EXPECT_EQ(distance_km(at(0, 10), at(0, 11)), 111);
    EXPECT_EQ(distance_km(at(0, 179.5), at(0, -179.5)), 111) << "across the date line";
    EXPECT_EQ(distance_km(at(90, 0), at(-90, 0)), 20015) << "pole to pole";
    EXPECT_EQ(distance_km(at(10, 20), at(-10, -160)), 20015) << "antipodes, where acos meets its edge";
    EXPECT_NEAR(distance_km(berlin, at(40.7128, -74.006)), 6385, 3);
}

TEST(Distance, TheModelTurnsItIntoMilliseconds) {
    EXPECT_DOUBLE_EQ(model_rtt_ms(0), 10.0);
    EXPECT_DOUBLE_EQ(model_rtt_ms(1000), 26.0);
}

TEST(OrderByDistance, NearestFirstWithItsKilometres) {
    Order order;
    order_by_distance(at(52.52, 13.405), three_regions(), order);
    EXPECT_EQ(ids(order), (Ids{1, 0, 2}));
    EXPECT_NEAR(order.km[0], 1320, 10);
    EXPECT_NEAR(order.km[1], 6710, 30);
    EXPECT_NEAR(order.km[2], 9920, 30);
}

TEST(OrderByDistance, TiesKeepTheOrderGiven) {
    const Point here = at(50, 10);
    const std::vector<OriginPoint> twins{{at(51, 10)}, {at(51, 10)}, {at(49, 10)}, {here}};
    EXPECT_EQ(ordered(here, twins), (Ids{3, 0, 1, 2})) << "2 is as far to the south as 0 and 1 to the north";
}

TEST(OrderByDistance, MetresDoNotBreakATie) {
    const Point here = at(50, 10);
    EXPECT_EQ(ordered(here, {{at(51.002, 10)}, {at(51, 10)}}), (Ids{0, 1})) << "111.4 and 111.2 km";
    EXPECT_EQ(ordered(here, {{at(51.010, 10)}, {at(51, 10)}}), (Ids{1, 0})) << "112.3 and 111.2 km";
}

TEST(OrderByDistance, OriginsWithoutAPointComeLastAsConfigured) {
    const std::vector<OriginPoint> origins{{std::nullopt}, {at(1, 1)}, {std::nullopt}, {at(50, 10)}};
    Order order;
    order_by_distance(at(50, 11), origins, order);
    EXPECT_EQ(ids(order), (Ids{3, 1, 0, 2}));
    EXPECT_EQ(order.km[0], 71);
    EXPECT_EQ(order.km[2], -1);
    EXPECT_EQ(order.km[3], -1);
}

struct BiasCase {
    int bias;
    Ids order;
};

TEST(OrderByDistance, BiasStretchesOrShrinksAnOriginsReach) {
    // From (50, 10): origin 0 at 111 km, origin 1 at 222 km.
    const BiasCase cases[] = {{0, {0, 1}}, {49, {0, 1}}, {51, {1, 0}}, {99, {1, 0}}, {-99, {0, 1}}};
    for (const auto& [bias, expected] : cases)
        EXPECT_EQ(ordered(at(50, 10), {{at(51, 10)}, {at(52, 10), bias}}), expected) << bias;
    EXPECT_EQ(ordered(at(50, 10), {{at(51, 10), -99}, {at(51.9, 10)}}), (Ids{1, 0})) << "221 km against 211";
    Order order;
    order_by_distance(at(50, 10), std::vector<OriginPoint>{{at(51, 10), 50}}, order);
    EXPECT_EQ(order.km[0], 111) << "the distance shown is the true one";
}

TEST(OrderByDistance, AnOrderIsUsedAgainWithoutTracesOfItsPast) {
    Order order;
    order_by_distance(at(50, 10), three_regions(), order);
    order_by_distance(at(50, 10), std::vector<OriginPoint>{{at(51, 10)}}, order);
    EXPECT_EQ(ids(order), (Ids{0}));
    order_by_distance(at(50, 10), {}, order);
    EXPECT_EQ(order.count, 0U);
}

TEST(OrderByDistance, ManyOriginsComeOutSorted) {
    std::vector<OriginPoint> origins;
    constexpr std::size_t most = conf::most_site_origins;
    for (std::size_t i = 0; i < most; ++i) origins.push_back({at(static_cast<double>(i * 37 % most) - 30.5, 20)});
    Order order;
    order_by_distance(at(-80, 20), origins, order);
    ASSERT_EQ(order.count, most);
    for (std::size_t i = 1; i < most; ++i) EXPECT_LT(order.km[i - 1], order.km[i]);
}

struct CountryCase {
    const char* country;
    Ids order;
};

TEST(Ranking, EveryCountryHasItsOrder) {
    const Ranking ranking{three_regions()};
    const CountryCase cases[] = {{"DE", {1, 0, 2}}, {"JP", {2, 1, 0}}, {"BR", {0, 1, 2}}, {"US", {0, 1, 2}},
                                 {"AU", {2, 0, 1}}, {"IN", {2, 1, 0}}, {"GB", {1, 0, 2}}, {"ZA", {2, 1, 0}}};
    for (const auto& [code, expected] : cases) {
        const Country country = Country::parse(code).value();
        EXPECT_EQ(ids(ranking.of(country)), expected) << code;
        EXPECT_EQ(ids(ranking.of(country)), ordered(facts(country)->point, three_regions())) << code;
    }
}

TEST(Ranking, CodesWithoutFactsGetTheDefaultOrder) {
    const Ranking ranking{{{at(1, 1)}, {std::nullopt}, {at(50, 10)}}};
    EXPECT_EQ(ids(ranking.in_default_order()), (Ids{0, 1, 2}));
    EXPECT_EQ(ranking.in_default_order().km[0], -1);
    EXPECT_EQ(ids(ranking.of(Country::parse("QQ").value())), (Ids{0, 1, 2}));
    EXPECT_EQ(ranking.origins().size(), 3U);
}

TEST(Ranking, MadeOfNothingItRanksNothing) {
    EXPECT_EQ(Ranking{}.of(Country::parse("DE").value()).size(), 0U);
    EXPECT_EQ(Ranking{std::vector<OriginPoint>{}}.of(Country::parse("DE").value()).size(), 0U);
}

}  // namespace
}  // namespace nearhop::geo
