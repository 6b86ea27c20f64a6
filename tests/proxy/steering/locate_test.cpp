#include "proxy/steering/locate.h"

#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <string>

namespace nearhop::steering {
namespace {

geo::Address address(std::string_view text) { return geo::Address::parse(text).value(); }
geo::Cidr cidr(std::string_view text) { return geo::Cidr::parse(text).value(); }
geo::Country country(std::string_view code) { return geo::Country::parse(code).value(); }

/// Overrides stand in for a database where only the place matters; the embedded one is used where it must be one.
class Locating : public testing::Test {
protected:
    static constexpr const char* cdn = "10.9.0.1";

    Trust trust{{{.cidr = cidr("10.9.0.0/16"), .secret_header = {}, .secret = {}}}};
    geo::Locator locator{{{cidr("10.1.0.0/16"), country("DE"), {}, false},
                          {cidr("10.2.0.0/16"), {}, {}, true},
                          {cidr("2001:db8:1::/48"), country("JP"), {}, false}},
                         {geo::Database::open_embedded().database}};
    ViewerFields fields;

    Located ask(const char* peer = cdn, bool trusted = true) {
        return locate(address(peer), trusted, fields, trust, locator);
    }
    std::string client(const char* peer = cdn) { return ask(peer).client.text(); }
    std::string where(const Located& located) {
        return std::string{located.place.country ? located.place.country->text() : "-"} + "/" +
               std::string{geo::name(located.place.source)} + "/" + std::string{geo::name(located.place.level)};
    }
};

TEST_F(Locating, AnUntrustedPeersFieldsAreIgnored) {
    fields.country = "JP";
    fields.address = "10.1.0.1:443";
    fields.latitude = "bad";
    fields.forwarded_for.add("10.1.0.1");
    const Located located = ask("8.8.8.8", false);
    EXPECT_EQ(located.client, address("8.8.8.8"));
    EXPECT_EQ(where(located), "US/database/country");
    EXPECT_FALSE(located.bad_viewer_field);
    EXPECT_FALSE(located.disagreement);
}

TEST_F(Locating, TheOverrideOfTheClientBeatsEverythingTold) {
    fields.country = "JP";
    fields.latitude = "35";
    fields.longitude = "139";
    fields.address = "10.1.0.1:443";
    EXPECT_EQ(where(ask()), "DE/cidr/country");
}

TEST_F(Locating, AnOverrideOfOriginsOnlyKeepsThePlaceThatWasTold) {
    fields.country = "JP";
    fields.address = "10.2.0.1:443";
    const Located located = ask();
    EXPECT_EQ(where(located), "JP/cidr/country");
    EXPECT_EQ(located.place.override_index, 1U);
}

TEST_F(Locating, CoordinatesBeatTheCountryWhichBeatsTheAddress) {
    fields.address = "8.8.8.8:443";
    EXPECT_EQ(where(ask()), "US/database/country");
    fields.country = "JP";
    EXPECT_EQ(where(ask()), "JP/header/country");
    fields.latitude = "48.1";
    fields.longitude = "-11.5";
    EXPECT_EQ(where(ask()), "JP/header/point");
    fields.country = {};
    EXPECT_EQ(where(ask()), "US/header/point") << "a country rule still wants a country";
}

TEST_F(Locating, SubdivisionsPlaceAmericansAndCanadiansOnly) {
    fields.country = "US";
    fields.country_region = "CA";
    EXPECT_EQ(where(ask()), "US/header/subdivision");
    EXPECT_STREQ(ask().place.subdivision, "CA");
    fields.country_region = "QQ";
    EXPECT_EQ(where(ask()), "US/header/country");
    fields.country = "CA";
    fields.country_region = "QC";
    EXPECT_EQ(where(ask()), "CA/header/subdivision");
    fields.country = "DE";
    fields.country_region = "BY";
    EXPECT_EQ(where(ask()), "DE/header/country");
    fields.country_region = "a region of unreasonable length";
    EXPECT_EQ(where(ask()), "DE/header/country");
}

TEST_F(Locating, ARegisteredCountryYieldsToWhatIsTold) {
    const auto opened = geo::Database::open(NEARHOP_TEST_DATABASES "/registered.mmdb");
    ASSERT_TRUE(opened.database) << opened.error;
    locator = geo::Locator{{{cidr("81.2.98.0/24"), {}, {}, true}}, {opened.database}};
    const auto continent = [](const Located& located) {
        return located.place.continent ? geo::code(*located.place.continent) : "-";
    };
    fields.address = "81.2.95.1:443";
    EXPECT_EQ(where(ask()), "US/database/country") << "nobody says more";
    fields.country = "EU";
    EXPECT_EQ(where(ask()), "-/header/continent");
    EXPECT_EQ(continent(ask()), "EU");
    fields.address = "81.2.97.1:443";
    EXPECT_EQ(where(ask()), "ES/database/point") << "the same continent: the database knows more";
    fields.address = "81.2.99.1:443";
    fields.country = "AP";
    EXPECT_EQ(where(ask()), "DE/database/country") << "where its users are, not where it is registered";
    fields.address = "81.2.98.1:443";
    EXPECT_EQ(where(ask()), "-/cidr/continent");
    EXPECT_EQ(ask().place.override_index, 0U);
    fields.country = {};
    fields.address = "81.2.95.1:443";
    fields.latitude = "50.11";
    fields.longitude = "8.68";
    EXPECT_EQ(where(ask()), "-/header/point");
    EXPECT_EQ(continent(ask()), "-");
    fields.latitude = "43.65";
    fields.longitude = "-79.38";
    EXPECT_EQ(where(ask()), "US/header/point");
    EXPECT_TRUE(ask().place.low_confidence);
}

struct AddressCase {
    const char* field;
    const char* client;  ///< "": refused
};
void PrintTo(const AddressCase& row, std::ostream* out) { tests::print_fields(out, row.field); }

class ViewerAddress : public Locating, public testing::WithParamInterface<AddressCase> {};

TEST_P(ViewerAddress, IsAnAddressAndAPortOrNothing) {
    fields.address = GetParam().field;
    const std::string_view want = GetParam().client;
    EXPECT_EQ(client(), want.empty() ? cdn : want);
    EXPECT_EQ(ask().bad_viewer_field, want.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Texts, ViewerAddress,
    testing::Values(AddressCase{"192.0.2.1:443", "192.0.2.1"}, AddressCase{"2001:db8::1:443", "2001:db8::1"},
                    AddressCase{"[2001:db8::1]:443", "2001:db8::1"}, AddressCase{"::1:1", "::1"},
                    AddressCase{"::ffff:192.0.2.1:80", "192.0.2.1"},
                    AddressCase{"2001:db8:0:0:0:0:0:1:65535", "2001:db8::1"}, AddressCase{"192.0.2.1", ""},
                    AddressCase{"192.0.2.1:", ""}, AddressCase{"192.0.2.1:0", ""}, AddressCase{"192.0.2.1:65536", ""},
                    AddressCase{"192.0.2.1:+80", ""}, AddressCase{"192.0.2.1:8o", ""},
                    AddressCase{"192.0.2.1:000080", ""}, AddressCase{"192.0.2.1:80 ", ""},
                    AddressCase{"192.0.2.1 :80", ""}, AddressCase{"192.0.2.1:80, 192.0.2.2:80", ""},
                    AddressCase{"[192.0.2.1]:80", ""}, AddressCase{"[2001:db8::1]", ""},
                    AddressCase{"[2001:db8::1:80", ""}, AddressCase{"2001:db8::1]:80", ""},
                    AddressCase{"fe80::1%eth0:80", ""}, AddressCase{"[fe80::1%25eth0]:80", ""},
                    AddressCase{"[]:80", ""}, AddressCase{":80", ""}, AddressCase{":", ""}, AddressCase{"[", ""},
                    AddressCase{"localhost:80", ""}, AddressCase{"192.0.2:80", ""}, AddressCase{"192.0.2.01:80", ""}));

TEST_F(Locating, ARepeatedFieldIsWorthless) {
    fields.address = "10.1.0.1:443";
    fields.address_repeated = true;
    EXPECT_EQ(client(), cdn);
    EXPECT_TRUE(ask().bad_viewer_field);
    fields = {};
    fields.country = "JP";
    fields.country_repeated = true;
    EXPECT_EQ(where(ask()), "-/default/none");
    EXPECT_TRUE(ask().bad_viewer_field);
    fields = {};
    fields.latitude = "1";
    fields.longitude = "2";
    fields.point_repeated = true;
    EXPECT_EQ(where(ask()), "-/default/none");
    EXPECT_TRUE(ask().bad_viewer_field);
}

struct PointCase {
    const char* latitude;
    const char* longitude;
    bool point;
    bool bad;
};
void PrintTo(const PointCase& row, std::ostream* out) { tests::print_fields(out, row.latitude, row.longitude); }

class Coordinates : public Locating, public testing::WithParamInterface<PointCase> {};

TEST_P(Coordinates, ArePlainDecimalsInRangeBothOrNone) {
    fields.latitude = GetParam().latitude;
    fields.longitude = GetParam().longitude;
    EXPECT_EQ(ask().place.point.has_value(), GetParam().point);
    EXPECT_EQ(ask().bad_viewer_field, GetParam().bad);
}

INSTANTIATE_TEST_SUITE_P(Texts, Coordinates,
                         testing::Values(PointCase{"52.5", "13.4", true, false}, PointCase{"-90", "180", true, false},
                                         PointCase{"0", "13", true, false}, PointCase{"0", "0", false, false},
                                         PointCase{"0.0", "-0.0", false, false}, PointCase{"", "", false, false},
                                         PointCase{"52.5", "", false, true}, PointCase{"", "13.4", false, true},
                                         PointCase{"90.1", "0", false, true}, PointCase{"1", "180.5", false, true},
                                         PointCase{"nan", "1", false, true}, PointCase{"1", "inf", false, true},
                                         PointCase{"-inf", "1", false, true}, PointCase{"1e1", "1", false, true},
                                         PointCase{"0x1", "1", false, true}, PointCase{"+1", "1", false, true},
                                         PointCase{" 1", "1", false, true}, PointCase{"1", "1 ", false, true},
                                         PointCase{"1,5", "1", false, true}, PointCase{"1.5.5", "1", false, true},
                                         PointCase{"1", "-", false, true},
                                         PointCase{"9999999999999999999999", "1", false, true}));

struct CountryCase {
    const char* code;
    const char* place;
    bool bad;
};
void PrintTo(const CountryCase& row, std::ostream* out) { tests::print_fields(out, row.code); }

class ViewerCountry : public Locating, public testing::WithParamInterface<CountryCase> {};

TEST_P(ViewerCountry, AreCodesOfCountriesOrUnknown) {
    fields.country = GetParam().code;
    fields.address = "8.8.8.8:1";
    EXPECT_EQ(where(ask()), GetParam().place);
    EXPECT_EQ(ask().bad_viewer_field, GetParam().bad);
}

INSTANTIATE_TEST_SUITE_P(
    Codes, ViewerCountry,
    testing::Values(CountryCase{"DE", "DE/header/country", false}, CountryCase{"de", "DE/header/country", false},
                    CountryCase{"UK", "GB/header/country", false}, CountryCase{"XX", "US/database/country", false},
                    CountryCase{"T1", "US/database/country", false}, CountryCase{"EU", "US/database/country", false},
                    CountryCase{"??", "US/database/country", false}, CountryCase{"QQ", "US/database/country", true},
                    CountryCase{"DEU", "US/database/country", true}, CountryCase{"D", "US/database/country", true},
                    CountryCase{"D,", "US/database/country", true}, CountryCase{"DE,US", "US/database/country", true}));

TEST_F(Locating, AContinentCodeServesWhereTheAddressSaysNothing) {
    fields.country = "EU";
    const Located located = ask();
    EXPECT_EQ(located.place.continent, geo::Continent::europe);
    EXPECT_EQ(where(located), "-/header/continent");
}

TEST_F(Locating, AHeaderThatDisagreesWithTheDatabaseWinsAndIsCounted) {
    fields.country = "JP";
    fields.address = "8.8.8.8:1";
    EXPECT_EQ(where(ask()), "JP/header/country");
    EXPECT_TRUE(ask().disagreement);
    fields.country = "US";
    EXPECT_FALSE(ask().disagreement);
    fields.country = "JP";
    fields.address = {};
    EXPECT_FALSE(ask("8.8.8.8").disagreement) << "the peer is the CDN, not the viewer";
}

struct WalkCase {
    std::vector<const char*> lines;
    const char* client;
};
void PrintTo(const WalkCase& row, std::ostream* out) { tests::print_fields(out, row.lines, row.client); }

class Walk : public Locating, public testing::WithParamInterface<WalkCase> {};

TEST_P(Walk, GoesFromThePeerToTheFirstUntrustedAddress) {
    for (const char* line : GetParam().lines) fields.forwarded_for.add(line);
    EXPECT_EQ(client(), GetParam().client);
    EXPECT_FALSE(ask().bad_viewer_field);
}

INSTANTIATE_TEST_SUITE_P(
    Lines, Walk,
    testing::Values(WalkCase{{"192.0.2.1"}, "192.0.2.1"}, WalkCase{{"192.0.2.2, 192.0.2.1"}, "192.0.2.1"},
                    WalkCase{{"192.0.2.2, 192.0.2.1, 10.9.0.7"}, "192.0.2.1"},
                    WalkCase{{"192.0.2.2", "192.0.2.1", "10.9.0.7,10.9.0.8"}, "192.0.2.1"},
                    WalkCase{{"10.9.0.7, 10.9.0.8"}, "10.9.0.7"}, WalkCase{{"192.0.2.1, unknown"}, "10.9.0.1"},
                    WalkCase{{"192.0.2.1, x, 10.9.0.7"}, "10.9.0.7"},
                    WalkCase{{"192.0.2.1,,\t 10.9.0.7 ,"}, "192.0.2.1"}, WalkCase{{""}, "10.9.0.1"},
                    WalkCase{{","}, "10.9.0.1"}, WalkCase{{" , ,", "  "}, "10.9.0.1"},
                    WalkCase{{"192.0.2.1:4711"}, "192.0.2.1"}, WalkCase{{"[2001:db8::1]:80"}, "2001:db8::1"},
                    WalkCase{{"[2001:db8::1]"}, "2001:db8::1"}, WalkCase{{"2001:db8::1"}, "2001:db8::1"},
                    WalkCase{{"[192.0.2.1]"}, "10.9.0.1"}, WalkCase{{"["}, "10.9.0.1"}, WalkCase{{"[]"}, "10.9.0.1"},
                    WalkCase{{"fe80::1%1"}, "10.9.0.1"}, WalkCase{{"\"192.0.2.1\""}, "10.9.0.1"}));

struct ForwardedCase {
    std::vector<const char*> lines;
    const char* client;
    unsigned hops;
    bool bad = false;
};
void PrintTo(const ForwardedCase& row, std::ostream* out) { tests::print_fields(out, row.lines, row.client); }

class ForwardedWalk : public Locating, public testing::WithParamInterface<ForwardedCase> {};

TEST_P(ForwardedWalk, GoesThroughForwardedWhereThereIsNoXForwardedFor) {
    fields.forwarded_for.add(" ,");
    for (const char* line : GetParam().lines) fields.forwarded.add(line);
    const Located located = ask();
    EXPECT_EQ(located.client.text(), GetParam().client);
    EXPECT_EQ(located.hops, GetParam().hops);
    EXPECT_EQ(located.bad_viewer_field, GetParam().bad);
    fields.forwarded_for.add("192.0.2.99");
    EXPECT_EQ(client(), "192.0.2.99") << "which more proxies write";
}

INSTANTIATE_TEST_SUITE_P(
    Lines, ForwardedWalk,
    testing::Values(ForwardedCase{{"for=192.0.2.1"}, "192.0.2.1", 1},
                    ForwardedCase{{"FOR=\"192.0.2.1:80\""}, "192.0.2.1", 1},
                    ForwardedCase{{"for=\"[2001:db8::1]:4711\";proto=https"}, "2001:db8::1", 1},
                    ForwardedCase{{"for=192.0.2.2, proto=http;for=192.0.2.1"}, "192.0.2.1", 1},
                    ForwardedCase{{"for=192.0.2.2", "for=192.0.2.1", "for=10.9.0.7, for=10.9.0.8"}, "192.0.2.1", 3},
                    ForwardedCase{{"for=10.9.0.7,, for=10.9.0.8,"}, "10.9.0.7", 2},
                    ForwardedCase{{"for=192.0.2.1, for=unknown"}, "10.9.0.1", 1},
                    ForwardedCase{{"for=192.0.2.1, for=_hidden, for=10.9.0.7"}, "10.9.0.7", 2},
                    ForwardedCase{{"for=192.0.2.1, by=_b"}, "10.9.0.1", 1},
                    ForwardedCase{{"for=\"a,b\", for=192.0.2.1"}, "192.0.2.1", 1},
                    ForwardedCase{{"nonsense, for=192.0.2.1"}, "192.0.2.1", 1},
                    ForwardedCase{{"for=192.0.2.1, nonsense"}, "10.9.0.1", 1, true},
                    ForwardedCase{
                        {"for=\"192.0.2.2, for=192.0.2.1"}, "192.0.2.1", 1},  // an open quote swallows nothing
                    ForwardedCase{{"for=\"192.0.2.2, for=\"[2001:db8::1]\""}, "2001:db8::1", 1},
                    ForwardedCase{{""}, "10.9.0.1", 0}, ForwardedCase{{}, "10.9.0.1", 0}));

TEST_F(Locating, TheWalkLooksAtTwentyEntriesAtMost) {
    std::string twenty;
    for (int i = 0; i < 20; ++i) twenty += ",10.9.1." + std::to_string(i);
    const std::string inside = "192.0.2.1" + twenty.substr(0, twenty.rfind(','));
    const std::string outside = "192.0.2.1" + twenty;
    fields.forwarded_for.add(inside);
    EXPECT_EQ(client(), "192.0.2.1");
    fields = {};
    fields.forwarded_for.add(outside);
    EXPECT_EQ(client(), "10.9.1.0");
    fields = {};
    std::string elements = "for=192.0.2.1";
    for (int i = 0; i < 20; ++i) elements += ",for=10.9.1." + std::to_string(i);
    fields.forwarded.add(elements);
    EXPECT_EQ(client(), "10.9.1.0");
}

TEST_F(Locating, LinesOfTheClientCannotPushOutWhatThePeerAppended) {
    for (int i = 0; i < 20; ++i) fields.forwarded_for.add("10.1.0.1");
    fields.forwarded_for.add("192.0.2.7");
    EXPECT_EQ(client(), "192.0.2.7");
}

TEST_F(Locating, TheViewerAddressBeatsForwardedForUnlessMalformed) {
    fields.address = "192.0.2.1:80";
    fields.forwarded_for.add("10.1.0.1");
    EXPECT_EQ(client(), "192.0.2.1");
    fields.address = "nonsense";
    EXPECT_EQ(client(), "10.1.0.1");
    EXPECT_TRUE(ask().bad_viewer_field);
}

TEST(Trusting, NeedsEveryPartOfOneEntry) {
    const Trust trust{{{cidr("10.0.0.0/8"), "", ""},
                       {cidr("192.0.2.0/24"), "X-Edge-Secret", "s3cret"},
                       {{}, "x-edge-secret", "other"},
                       {{}, "X-Empty", ""},
                       {{}, "", ""}}};
    ASSERT_EQ(trust.secret_headers().size(), 2U);
    EXPECT_EQ(trust.secret_headers()[0], "x-edge-secret");
    const auto trusts = [&](const char* peer, std::string_view secret) {
        const std::string_view secrets[] = {secret, ""};
        return trust.trusts(address(peer), secrets);
    };
    EXPECT_TRUE(trusts("10.1.2.3", ""));
    EXPECT_FALSE(trusts("192.0.2.1", ""));
    EXPECT_FALSE(trusts("192.0.2.1", "s3creT"));
    EXPECT_FALSE(trusts("192.0.2.1", "s3cret2"));
    EXPECT_TRUE(trusts("192.0.2.1", "s3cret"));
    EXPECT_FALSE(trusts("198.51.100.1", "s3cret"));
    EXPECT_TRUE(trusts("198.51.100.1", "other"));
    EXPECT_FALSE(trusts("198.51.100.1", ""));
    EXPECT_FALSE(trust.trusts(address("198.51.100.1"), {}));
    EXPECT_TRUE(trust.trusts_hop(address("192.0.2.9")));
    EXPECT_FALSE(trust.trusts_hop(address("198.51.100.1")));
    EXPECT_FALSE(Trust{}.trusts(address("10.0.0.1"), {}));
    EXPECT_TRUE(Trust{}.empty());
}

TEST(Trusting, AnAddressInsideATunnelFormIsNotItsInnerOne) {
    const Trust trust{{{cidr("10.0.0.0/8"), "", ""}}};
    EXPECT_TRUE(trust.trusts(address("::ffff:10.0.0.1"), {}));
    EXPECT_FALSE(trust.trusts(address("2002:a00:1::1"), {})) << "6to4 is for locating; anyone may send it";
}

}  // namespace
}  // namespace nearhop::steering
