#include "geo/locator.h"

#include "geo/catalogue.h"
#include "tests/geo/support.h"

namespace nearhop::geo {
namespace {

Country country(std::string_view code) { return Country::parse(code).value(); }
std::string code_of(const Place& place) { return place.country ? std::string{place.country->text()} : ""; }
Cidr cidr(std::string_view text) { return Cidr::parse(text).value(); }

Locator locator_over(std::initializer_list<const char*> databases, std::vector<Override> overrides = {}) {
    std::vector<std::shared_ptr<const Database>> opened;
    for (const char* name : databases) opened.push_back(open_database(name));
    return Locator{std::move(overrides), std::move(opened)};
}

struct PlaceCase {
    const char* address;
    const char* country;
    Level level;
    bool low_confidence;
    std::pair<double, double> near;  ///< {0, 0}: no point
};

TEST(Locator, GivesTheBestLevelThatTheRecordAllows) {
    const Locator locator = locator_over({"nested"});
    const CountryFacts& us = *facts(country("US"));
    const CountryFacts& jp = *facts(country("JP"));
    const PlaceCase cases[] = {
        {"81.2.69.1", "DE", Level::point, false, {52.52, 13.405}},
        {"81.2.70.1", "JP", Level::country, true, {jp.latitude, jp.longitude}},
        {"81.2.72.1", "US", Level::country, false, {us.latitude, us.longitude}},
        {"81.2.77.1", "US", Level::subdivision, false, {35.348, -119.25}},
        {"81.2.78.1", "CA", Level::subdivision, false, {45.934, -73.144}},
        {"81.2.79.1", "", Level::continent, false, {0, 0}},
        {"2a02:1234::1", "BR", Level::country, false, {-18.16, -45.53}},
    };
    for (const auto& [address, code, level, low_confidence, near] : cases) {
        const Place place = locator.locate(ip(address));
        EXPECT_EQ(code_of(place), code) << address;
        EXPECT_EQ(place.level, level) << address << ' ' << name(place.level);
        EXPECT_EQ(place.source, Source::database) << address;
        EXPECT_EQ(place.low_confidence, low_confidence) << address;
        EXPECT_FALSE(place.override_index) << address;
        ASSERT_EQ(place.point.has_value(), near != std::pair(0.0, 0.0)) << address;
        if (place.point) {
            EXPECT_EQ(distance_km(*place.point, point_at(near.first, near.second).value()), 0) << address;
        }
    }
}

// The owner of a network is not where its users are.
TEST(Locator, ARegisteredCountryYieldsToTheRecordsOwnContinentAndPoint) {
    const Locator locator = locator_over({"registered"});
    const std::pair frankfurt{50.11, 8.68};
    const CountryFacts& us = *facts(country("US"));
    const std::pair middle_of_us{us.latitude, us.longitude};
    const struct {
        const char* address;
        const char* country;
        const char* continent;
        Level level;
        std::pair<double, double> near;  ///< {0, 0}: no point
        const char* what;
    } cases[] = {
        {"81.2.90.1", "", "EU", Level::point, frankfurt, "continent and a vague point contradict"},
        {"81.2.91.1", "", "EU", Level::continent, {0, 0}, "the continent alone does"},
        {"81.2.92.1", "", "", Level::point, frankfurt, "a vague point alone does"},
        {"81.2.93.1", "", "", Level::point, frankfurt, "a precise point does"},
        {"81.2.94.1", "", "NA", Level::point, frankfurt, "the point does, the continent does not"},
        {"81.2.95.1", "US", "NA", Level::country, middle_of_us, "nothing contradicts"},
        {"81.2.96.1", "US", "NA", Level::point, {43.65, -79.38}, "the same continent: the point is used"},
        {"81.2.97.1", "ES", "EU", Level::point, {28.12, -15.43}, "an island nearer to Africa contradicts nothing"},
        {"81.2.98.1", "US", "NA", Level::country, middle_of_us, "the subdivision is one of another country"},
        {"81.2.99.1",
         "DE",
         "EU",
         Level::country,
         {facts(country("DE"))->latitude, facts(country("DE"))->longitude},
         "the record's own country"},
        {"81.2.100.1", "", "EU", Level::continent, {0, 0}, "a country that nobody knows"},
    };
    for (const auto& [address, code_, continent, level, near, what] : cases) {
        const Place place = locator.locate(ip(address));
        EXPECT_EQ(code_of(place), code_) << what;
        EXPECT_EQ(place.continent ? code(*place.continent) : "", continent) << what;
        EXPECT_EQ(place.level, level) << what << ": " << name(place.level);
        EXPECT_EQ(place.low_confidence, std::string_view{code_} == "US" || std::string_view{code_} == "ES") << what;
        EXPECT_EQ(place.source, Source::database) << what;
        ASSERT_EQ(place.point.has_value(), near != std::pair(0.0, 0.0)) << what;
        if (place.point) {
            EXPECT_EQ(distance_km(*place.point, point_at(near.first, near.second).value()), 0) << what;
        }
    }
}

TEST(Locator, ARegisteredCountryYieldsToAPointFromElsewhere) {
    const Point frankfurt = point_at(50.11, 8.68).value(), toronto = point_at(43.65, -79.38).value();
    const Locator locator = locator_over({"registered"}, {{cidr("81.2.95.0/24"), std::nullopt, frankfurt, false},
                                                          {cidr("81.2.96.0/24"), std::nullopt, toronto, false}});
    const Place far = locator.locate(ip("81.2.95.1"));
    EXPECT_FALSE(far.country || far.continent || far.low_confidence);
    const Place near = locator.locate(ip("81.2.96.1"));
    EXPECT_EQ(code_of(near), "US");
    EXPECT_EQ(near.continent, Continent::north_america);
    EXPECT_TRUE(near.low_confidence);
}

TEST(Locator, TakesTheContinentFromTheRecordElseFromTheCountry) {
    const Locator locator = locator_over({"nested"});
    EXPECT_EQ(locator.locate(ip("81.2.69.1")).continent, Continent::europe);
    EXPECT_EQ(locator.locate(ip("81.2.72.1")).continent, Continent::north_america);
    EXPECT_EQ(locator.locate(ip("81.2.82.1")).continent, Continent::south_america);
}

TEST(Locator, WhatNobodyKnowsStaysUnknown) {
    const Locator locator = locator_over({"nested"});
    for (const char* address : {"9.9.9.9", "81.2.71.1"}) {
        const Place place = locator.locate(ip(address));
        EXPECT_EQ(place.source, Source::none) << address;
        EXPECT_EQ(place.level, Level::none) << address;
        EXPECT_FALSE(place.country || place.continent || place.point) << address;
    }
}

TEST(Locator, LooksUpTheInnerAddress) {
    const Locator locator = locator_over({"flat"});
    for (const char* address : {"81.2.69.1", "::ffff:81.2.69.1", "::81.2.69.1", "::ffff:0:81.2.69.1",
                                "64:ff9b::81.2.69.1", "2002:5102:4501::1", "2001:0:1:2:3:4:aefd:bafe"})
        EXPECT_EQ(code_of(locator.locate(ip(address))), "DE") << address;
}

TEST(Locator, SpecialRangesAreNotLookedUp) {
    const Locator locator = locator_over({"nested"});
    Record record;
    ASSERT_EQ(locator.databases().front()->lookup(ip("127.1.0.1"), record), Lookup::found) << "the file would know it";
    for (const char* address : {"127.1.0.1", "::ffff:127.1.0.1", "2002:7f01:1::1", "10.0.0.1", "::1"})
        EXPECT_EQ(locator.locate(ip(address)).source, Source::none) << address;
}

TEST(Locator, TheFirstDatabaseWithAPlaceWins) {
    const Locator locator = locator_over({"own", "floats", "nested"});
    EXPECT_EQ(code_of(locator.locate(ip("81.2.69.1"))), "SG") << "own networks before the bought file";
    EXPECT_EQ(code_of(locator.locate(ip("81.2.70.1"))), "DE") << "a record that says nothing of a place is no hit";
    EXPECT_EQ(code_of(locator.locate(ip("81.2.74.1"))), "FR");
    EXPECT_EQ(code_of(locator.locate(ip("2a02:1234::1"))), "BR") << "not in a file of version 4, but in the next";
}

std::vector<Override> overrides() {
    return {{cidr("10.0.0.0/8"), country("DE"), std::nullopt, false},
            {cidr("10.1.0.0/16"), country("JP"), std::nullopt, false},
            {cidr("10.1.2.0/24"), std::nullopt, point_at(-23.55, -46.63), false},
            {cidr("10.1.2.3/32"), std::nullopt, std::nullopt, true},
            {cidr("127.0.0.0/8"), country("BR"), std::nullopt, false},
            {cidr("81.2.69.0/24"), country("US"), std::nullopt, true},
            {cidr("81.2.70.0/24"), std::nullopt, std::nullopt, true},
            {cidr("fd00::/8"), country("GB"), point_at(51.5, -0.12), false}};
}

TEST(Overrides, TheLongestPrefixSpeaksForPrivateLoopbackAndPublicAddresses) {
    const Locator locator = locator_over({"nested"}, overrides());
    const struct {
        const char* address;
        const char* country;
        Level level;
        int override_index;  ///< -1: none
    } cases[] = {
        {"10.9.9.9", "DE", Level::country, -1},       {"10.1.9.9", "JP", Level::country, -1},
        {"10.1.2.9", "", Level::point, -1},           {"10.1.2.3", "", Level::none, 3},
        {"127.0.0.1", "BR", Level::country, -1},      {"::ffff:127.0.0.1", "BR", Level::country, -1},
        {"2002:7f00:1::1", "BR", Level::country, -1}, {"81.2.69.1", "US", Level::country, 5},
        {"fd12::1", "GB", Level::point, -1},
    };
    for (const auto& [address, code, level, index] : cases) {
        const Place place = locator.locate(ip(address));
        EXPECT_EQ(code_of(place), code) << address;
        EXPECT_EQ(place.level, level) << address;
        EXPECT_EQ(place.source, Source::cidr) << address;
        EXPECT_EQ(place.override_index ? static_cast<int>(*place.override_index) : -1, index) << address;
    }
}

TEST(Overrides, OneThatGivesAPointKeepsTheCountryOfTheDatabase) {
    const Locator locator =
        locator_over({"nested"}, {{cidr("81.2.69.0/24"), std::nullopt, point_at(-23.55, -46.63), false}});
    const auto plain = locator_over({"nested"}).locate(ip("81.2.69.1"));
    ASSERT_TRUE(plain.country);
    for (const auto& place : {locator.locate(ip("81.2.69.1")), locator.override_of(ip("81.2.69.1")).value()}) {
        EXPECT_EQ(code_of(place), code_of(plain)) << "a country rule with `only` must hold here too";
        EXPECT_EQ(place.continent, plain.continent);
        EXPECT_EQ(place.level, Level::point);
        EXPECT_EQ(place.source, Source::cidr);
        EXPECT_EQ(distance_km(*place.point, point_at(-23.55, -46.63).value()), 0);
    }
}

TEST(Overrides, OneThatOnlyListsOriginsLeavesThePlaceToTheDatabase) {
    const Locator locator = locator_over({"nested"}, overrides());
    const Place place = locator.locate(ip("81.2.70.1"));
    EXPECT_EQ(place.override_index, 6U);
    EXPECT_EQ(place.source, Source::cidr);
    EXPECT_EQ(code_of(place), "JP");
    EXPECT_EQ(place.level, Level::country);
}

TEST(Overrides, CanBeAskedForAlone) {
    const Locator locator = locator_over({"nested"}, overrides());
    EXPECT_EQ(code_of(locator.override_of(ip("::ffff:10.1.0.1")).value()), "JP");
    EXPECT_FALSE(locator.override_of(ip("81.2.77.1"))) << "in the database, but no override";
    EXPECT_FALSE(locator_over({"nested"}).override_of(ip("10.1.0.1")));
}

TEST(PlaceOf, ACountryCodeBringsItsPointAndContinent) {
    const Place place = place_of(country("JP"), Source::header);
    EXPECT_EQ(place.source, Source::header);
    EXPECT_EQ(place.level, Level::country);
    EXPECT_EQ(place.continent, Continent::asia);
    EXPECT_EQ(distance_km(place.point.value(), facts(country("JP"))->point), 0);
}

TEST(PlaceOf, ACodeWithoutFactsIsStillACountry) {
    const Place place = place_of(country("QQ"), Source::header);
    EXPECT_EQ(place.level, Level::country);
    EXPECT_FALSE(place.point || place.continent);
}

TEST(PlaceOf, ASubdivisionRefinesTheTwoLargeCountries) {
    const Place california = place_of(country("US"), "ca", Source::header);
    EXPECT_EQ(california.level, Level::subdivision);
    EXPECT_STREQ(california.subdivision, "CA");
    EXPECT_EQ(distance_km(california.point.value(), subdivision_point(country("US"), "CA").value()), 0);

    const Place bavaria = place_of(country("DE"), "BY", Source::header);
    EXPECT_EQ(bavaria.level, Level::country);
    EXPECT_STREQ(bavaria.subdivision, "BY") << "kept for the operator's subdivision map";
    EXPECT_STREQ(place_of(country("US"), "CALIFORNIA", Source::header).subdivision, "");
}

TEST(PlaceOf, CoordinatesStandAloneOrBesideACountry) {
    const Point berlin = point_at(52.52, 13.405).value();
    const Place alone = place_of(berlin, std::nullopt, Source::header);
    EXPECT_EQ(alone.level, Level::point);
    EXPECT_FALSE(alone.country || alone.continent);

    const Place both = place_of(berlin, country("DE"), Source::header);
    EXPECT_EQ(both.level, Level::point);
    EXPECT_EQ(both.continent, Continent::europe);
    EXPECT_EQ(distance_km(both.point.value(), berlin), 0) << "the client's own point, not the country's";
}

TEST(Names, AreTheMetricLabels) {
    EXPECT_EQ(name(Source::none), "default");
    EXPECT_EQ(name(Source::header), "header");
    EXPECT_EQ(name(Source::cidr), "cidr");
    EXPECT_EQ(name(Source::database), "database");
    EXPECT_EQ(name(Level::none), "none");
    EXPECT_EQ(name(Level::continent), "continent");
    EXPECT_EQ(name(Level::country), "country");
    EXPECT_EQ(name(Level::subdivision), "subdivision");
    EXPECT_EQ(name(Level::point), "point");
}

}  // namespace
}  // namespace nearhop::geo
