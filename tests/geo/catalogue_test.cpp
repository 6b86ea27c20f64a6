#include "geo/catalogue.h"

#include "tests/geo/support.h"

#include <algorithm>
#include <set>
#include <thread>

namespace nearhop::geo {
namespace {

Country country(std::string_view code) { return Country::parse(code).value(); }

TEST(Countries, PlaceholdersAndPseudoCountriesAreNone) {
    for (const char* code : {"XX", "ZZ", "T1", "A1", "A2", "O1", "??", "", "D", "DEU", "EU", "AP", "xx", "eu"})
        EXPECT_FALSE(Country::parse(code)) << code;
    EXPECT_EQ(country("UK").text(), "GB");
    EXPECT_EQ(country("uk").text(), "GB");
}

TEST(Continents, AreReadInEitherCaseAndWrittenBack) {
    for (const char* text : {"AF", "AN", "AS", "EU", "NA", "OC", "SA"})
        EXPECT_EQ(code(parse_continent(text).value()), text);
    EXPECT_EQ(parse_continent("eu"), Continent::europe);
    EXPECT_EQ(parse_continent("AP"), Continent::asia);
    for (const char* text : {"", "E", "EUR", "XX", "--"}) EXPECT_FALSE(parse_continent(text)) << text;
}

TEST(Facts, AreKnownForEveryCountryOfTheTable) {
    std::size_t known = 0;
    for (std::size_t i = 0; i < Country::count; ++i)
        if (const auto* found = facts(Country::from_index(i))) {
            ++known;
            EXPECT_FALSE(found->name.empty());
            EXPECT_NEAR(closeness(found->point, found->point), 1.0, 1e-9) << found->name;
        }
    EXPECT_EQ(known, 250U);
    EXPECT_EQ(facts(country("QQ")), nullptr);

    const auto* germany = facts(country("DE"));
    ASSERT_NE(germany, nullptr);
    EXPECT_EQ(germany->name, "Germany");
    EXPECT_EQ(germany->continent, Continent::europe);
    EXPECT_DOUBLE_EQ(germany->latitude, 51.01);
    EXPECT_DOUBLE_EQ(germany->longitude, 9.80);
    EXPECT_EQ(facts(country("NA"))->continent, Continent::africa) << "Namibia, not North America";
}

TEST(Facts, MayBeAskedForByManyThreadsAtOnceFromTheStart) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([] {
            EXPECT_EQ(facts(country("JP"))->name, "Japan");
            EXPECT_NE(find_region("us-east-1"), nullptr);
            EXPECT_TRUE(subdivision_point(country("US"), "TX"));
        });
}

TEST(Regions, AreFoundByNameAcrossProviders) {
    struct {
        const char* name;
        const char* provider;
        const char* country;
    } const cases[] = {{"us-east-1", "aws", "US"},
                       {"eu-west-1", "aws", "IE"},
                       {"ap-southeast-1", "aws", "SG"},
                       {"europe-west3", "gcp", "DE"},
                       {"westeurope", "azure", ""}};
    for (const auto& [name, provider, code] : cases) {
        const CloudRegion* region = find_region(name);
        ASSERT_NE(region, nullptr) << name;
        EXPECT_EQ(region->provider, provider);
        EXPECT_EQ(region->country, Country::parse(code)) << "Azure's table names no countries";
        EXPECT_EQ(distance_km(region->point, point_at(region->latitude, region->longitude).value()), 0);
    }
    EXPECT_EQ(find_region("us-east-9"), nullptr);
    EXPECT_EQ(find_region(""), nullptr);
}

TEST(Regions, HaveNamesOfTheirOwn) {
    const auto names = region_names();
    EXPECT_GE(names.size(), 137U);
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
    for (const auto& name : names) EXPECT_NE(find_region(name), nullptr) << name;
}

TEST(Regions, LieInOrNearTheirCountry) {
    // Catches a swapped sign or swapped columns: no country reaches further from its own middle than these.
    for (const auto& name : region_names()) {
        const CloudRegion* region = find_region(name);
        if (!region->country) continue;
        const int far = region->country->text() == "US" || region->country->text() == "CA" ? 4500 : 3200;
        EXPECT_LT(distance_km(region->point, facts(*region->country)->point), far) << name;
    }
}

TEST(Subdivisions, HavePointsInTheUnitedStatesAndCanada) {
    struct {
        const char* country;
        const char* code;
        double latitude, longitude;
    } const cases[] = {{"US", "CA", 36.8, -119.4}, {"US", "NY", 42.9, -75.5}, {"US", "TX", 31.4, -99.3},
                       {"CA", "ON", 43.7, -79.4},  {"CA", "QC", 45.5, -73.6}, {"CA", "BC", 49.3, -123.1},
                       {"CA", "NU", 63.7, -68.5}};
    for (const auto& [code, subdivision, latitude, longitude] : cases) {
        const auto point = subdivision_point(country(code), subdivision);
        ASSERT_TRUE(point) << code << subdivision;
        EXPECT_LT(distance_km(*point, point_at(latitude, longitude).value()), 400) << code << subdivision;
    }
    for (const char* unknown : {"ZZ", "", "C", "CAL", "ca", "08"})
        EXPECT_FALSE(subdivision_point(country("US"), unknown)) << unknown;
    EXPECT_FALSE(subdivision_point(country("CA"), "TX"));
    EXPECT_FALSE(subdivision_point(country("DE"), "BE"));
}

TEST(Subdivisions, AllStatesAndProvincesAreThere) {
    int us = 0;
    int ca = 0;
    for (char first = 'A'; first <= 'Z'; ++first)
        for (char second = 'A'; second <= 'Z'; ++second) {
            const char code[] = {first, second};
            us += subdivision_point(country("US"), {code, 2}).has_value() ? 1 : 0;
            ca += subdivision_point(country("CA"), {code, 2}).has_value() ? 1 : 0;
        }
    EXPECT_EQ(us, 51);
    EXPECT_EQ(ca, 13);
}

bool holds(const std::vector<Country>& members, std::string_view code) {
    return std::find(members.begin(), members.end(), country(code)) != members.end();
}

TEST(Groups, TheUnionHasItsMembersAndTheirTerritoriesInIt) {
    const auto eu = built_in_group("eu");
    EXPECT_EQ(eu.size(), 27U + 7U);
    for (const char* code : {"AT", "DE", "GR", "IE", "SK", "AX", "RE"}) EXPECT_TRUE(holds(eu, code)) << code;
    for (const char* code : {"GB", "CH", "NO", "IS", "LI", "TR", "PF"}) EXPECT_FALSE(holds(eu, code)) << code;
}

TEST(Groups, TheEconomicAreaIsTheUnionAndThreeMore) {
    const auto eea = built_in_group("eea");
    for (const Country& member : built_in_group("eu")) EXPECT_TRUE(holds(eea, member.text()));
    for (const char* code : {"IS", "LI", "NO"}) EXPECT_TRUE(holds(eea, code)) << code;
    EXPECT_EQ(eea.size(), built_in_group("eu").size() + 3);
    for (const char* code : {"GB", "CH", "SJ"}) EXPECT_FALSE(holds(eea, code)) << code;
}

TEST(Groups, HaveDistinctMembersThatExist) {
    for (const char* name : {"eu", "eea"}) {
        std::set<std::string_view> seen;
        const auto members = built_in_group(name);
        for (const Country& member : members) {
            EXPECT_TRUE(seen.insert(member.text()).second) << member.text();
            EXPECT_NE(facts(member), nullptr) << member.text();
        }
    }
    EXPECT_TRUE(built_in_group("nato").empty());
    EXPECT_TRUE(built_in_group("").empty());
}

}  // namespace
}  // namespace nearhop::geo
