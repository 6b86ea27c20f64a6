#include "geo/database.h"

#include "tests/geo/support.h"
#include "tests/support/rows.h"

#include <sys/stat.h>

namespace nearhop::geo {
namespace {

struct RecordCase {
    const char* database;
    const char* address;
    const char* country;      ///< "": unknown
    const char* continent;    ///< "": unknown
    const char* subdivision;  ///< "": unknown
    bool registered_only;
    std::optional<std::pair<double, double>> point;
};
void PrintTo(const RecordCase& row, std::ostream* out) { tests::print_fields(out, row.database, row.address); }

const std::pair<double, double> berlin{52.52, 13.405};
const std::pair<double, double> paris{48.86, 2.35};
const auto no_point = std::nullopt;

class DatabaseRecord : public testing::TestWithParam<RecordCase> {};

TEST_P(DatabaseRecord, SaysWhatTheFileSaysAndNoMore) {
    const auto& expected = GetParam();
    const auto database = open_database(expected.database);
    Record record;
    ASSERT_EQ(database->lookup(ip(expected.address), record), Lookup::found);
    EXPECT_EQ(record.country ? record.country->text() : "", expected.country);
    EXPECT_EQ(record.continent ? code(*record.continent) : "", expected.continent);
    EXPECT_STREQ(record.subdivision, expected.subdivision);
    EXPECT_EQ(record.registered_only, expected.registered_only);
    ASSERT_EQ(record.point.has_value(), expected.point.has_value());
    if (record.point) {
        EXPECT_EQ(distance_km(*record.point, point_at(expected.point->first, expected.point->second).value()), 0);
    }
    EXPECT_EQ(database->errors(), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Nested, DatabaseRecord,
    testing::Values(RecordCase{"nested", "81.2.69.1", "DE", "EU", "BE", false, berlin},
                    RecordCase{"nested", "81.2.70.1", "JP", "AS", "", true, no_point},  // registered only
                    RecordCase{"nested", "81.2.71.1", "", "", "", false, no_point},     // represented: never
                    RecordCase{"nested", "81.2.72.1", "US", "", "", false, no_point},   // no city, no radius
                    RecordCase{"nested", "81.2.73.1", "US", "", "", false, no_point},   // no city, 1000 km
                    RecordCase{"nested", "81.2.74.1", "FR", "", "", false, paris},      // no city, 499 km
                    RecordCase{"nested", "81.2.75.1", "FR", "", "", false, no_point},   // no city, 500 km
                    RecordCase{"nested", "81.2.76.1", "GH", "", "", false, no_point},   // (0, 0)
                    RecordCase{"nested", "81.2.77.1", "US", "", "CA", false, no_point},
                    RecordCase{"nested", "81.2.79.1", "", "EU", "", false, no_point},  // EU is no country
                    RecordCase{"nested", "81.2.80.1", "GB", "", "", false, no_point},  // UK
                    RecordCase{"nested", "81.2.81.1", "FR", "", "", false, paris},     // city without a radius
                    RecordCase{"nested", "81.2.82.1", "", "SA", "", false, no_point},
                    RecordCase{"nested", "2a02:1234::5", "BR", "", "", false, no_point}));

INSTANTIATE_TEST_SUITE_P(Flat, DatabaseRecord,
                         testing::Values(RecordCase{"flat", "81.2.69.1", "DE", "", "", false, no_point},
                                         RecordCase{"flat", "81.2.70.1", "", "AS", "", false, no_point},  // AP
                                         RecordCase{"flat", "81.2.71.1", "", "", "", false, no_point},    // XX
                                         RecordCase{"flat", "81.2.72.1", "", "", "", false, no_point},    // A1
                                         RecordCase{"flat", "81.2.73.1", "", "", "", false, no_point},    // empty
                                         RecordCase{"flat", "81.2.74.1", "JP", "", "", false, no_point},  // lower case
                                         RecordCase{"flat", "81.2.75.1", "", "", "", false,
                                                    no_point},  // a name, not a code
                                         RecordCase{"flat", "81.2.76.1", "US", "", "TX", false, no_point},
                                         RecordCase{"flat", "2a02:1234::5", "BR", "", "", false, no_point}));

INSTANTIATE_TEST_SUITE_P(
    Others, DatabaseRecord,
    testing::Values(RecordCase{"floats", "81.2.69.1", "DE", "", "", false, berlin},
                    RecordCase{"floats", "81.2.70.1", "DE", "", "", false, no_point},  // city is an empty text
                    RecordCase{"strings", "81.2.69.1", "DE", "", "", false, berlin},
                    RecordCase{"strings", "81.2.70.1", "DE", "", "", false, no_point},  // "52.52N"
                    RecordCase{"strings", "81.2.71.1", "DE", "", "", false, no_point},  // latitude 91
                    RecordCase{"strings", "81.2.72.1", "", "", "", false, no_point},    // `country` is a name
                    RecordCase{"lite", "81.2.69.1", "DE", "EU", "", false, no_point},
                    RecordCase{"lite", "81.2.70.1", "", "OC", "", false, no_point}));

TEST(Age, IsOldAfterFortyFiveDays) {
    using namespace std::chrono;
    const system_clock::time_point built{days{20'000}};
    EXPECT_FALSE(is_old(built, built));
    EXPECT_FALSE(is_old(built, built + days{45}));
    EXPECT_TRUE(is_old(built, built + days{45} + seconds{1}));
    EXPECT_FALSE(is_old(built, built - days{100})) << "a clock that is wrong";
    EXPECT_EQ(age(built, built + days{181} + hours{23}), days{181});
    EXPECT_EQ(age(built, built - days{1}), days{0});
}

TEST(Database, AnAddressOutsideItsNetworksIsMissing) {
    Record record;
    record.country = Country::parse("DE");
    EXPECT_EQ(open_database("nested")->lookup(ip("9.9.9.9"), record), Lookup::missing);
    EXPECT_FALSE(record.country) << "a record is emptied before each lookup";
}

TEST(Database, AFileOfVersion4KnowsNothingOfVersion6AndThatIsNoError) {
    const auto database = open_database("floats");
    Record record;
    EXPECT_EQ(database->lookup(ip("2a02:1234::5"), record), Lookup::missing);
    EXPECT_EQ(database->errors(), 0U);
}

TEST(Database, KnowsWhichVersionsOfIpItLocates) {
    const struct {
        const char* database;
        bool v4, v6;
    } cases[] = {
        {"nested", true, true},   {"flat", true, true},  // without the aliases
        {"floats", true, false},                         // its tree is one of IPv4
        {"v4_only", true, false},                        // reachable from IPv6 by aliases; a record there says nothing
        {"v6_only", false, true}, {"own", true, false},
    };
    for (const auto& [name, v4, v6] : cases) {
        EXPECT_EQ(open_database(name)->locates_v4(), v4) << name;
        EXPECT_EQ(open_database(name)->locates_v6(), v6) << name;
    }
    EXPECT_TRUE(Database::open_embedded().database->locates_v4());
    EXPECT_TRUE(Database::open_embedded().database->locates_v6());
}

TEST(Database, MappedAddressesAreLookedUpAsV4EvenWithoutTheAlias) {
    Record record;
    EXPECT_EQ(open_database("flat")->lookup(ip("::ffff:81.2.69.1"), record), Lookup::found);
    EXPECT_EQ(record.country, Country::parse("DE"));
}

TEST(Database, TellsItsNameTypeAndAge) {
    const auto database = open_database("nested");
    EXPECT_EQ(database->name(), database_file("nested"));
    EXPECT_EQ(database->type(), "Test-nested");
    EXPECT_GT(database->built(), std::chrono::system_clock::now() - std::chrono::hours{24 * 365 * 10});
    EXPECT_LT(database->built(), std::chrono::system_clock::now() + std::chrono::hours{24});
}

TEST(EmbeddedDatabase, KnowsTheWorld) {
    const auto [database, error] = Database::open_embedded();
    ASSERT_TRUE(database) << error;
    EXPECT_EQ(database->name(), "embedded");
    EXPECT_FALSE(database->type().empty());
    const std::pair<const char*, const char*> cases[] = {
        {"8.8.8.8", "US"}, {"193.0.6.139", "NL"}, {"133.11.0.1", "JP"}, {"200.160.2.3", "BR"}, {"2001:200::1", "JP"}};
    for (const auto& [address, country] : cases) {
        Record record;
        ASSERT_EQ(database->lookup(ip(address), record), Lookup::found) << address;
        EXPECT_EQ(record.country ? record.country->text() : "", country) << address;
    }
}

TEST(Database, WritingOverTheFileDoesNotReachAnOpenOne) {
    TemporaryFile file{contents(database_file("nested"))};
    const auto database = Database::open(file.name()).database;
    ASSERT_TRUE(database);
    file.write("gone");
    Record record;
    EXPECT_EQ(database->lookup(ip("81.2.69.1"), record), Lookup::found);
    EXPECT_EQ(record.country, Country::parse("DE"));
}

/// How many databases this process holds in memory.
std::size_t mappings() {
    const std::string maps = contents("/proc/self/maps");
    std::size_t count = 0;
    for (std::size_t at = maps.find("nearhop-geo"); at != std::string::npos; at = maps.find("nearhop-geo", at + 1))
        ++count;
    return count;
}

TEST(Database, ItsMemoryGoesWithTheLastOwner) {
    const std::size_t before = mappings();
    auto database = open_database("nested");
    auto another_owner = database;
    EXPECT_EQ(mappings(), before + 1);
    database.reset();
    EXPECT_EQ(mappings(), before + 1);
    another_owner.reset();
    EXPECT_EQ(mappings(), before);
    EXPECT_FALSE(Database::open(database_file("networks_only")).database);
    EXPECT_EQ(mappings(), before) << "a refused file is let go of as well";
}

struct RefusalCase {
    const char* name;
    std::string file;
    const char* reason;
};

TEST(Database, RefusesWhatItCannotUseInOneSentence) {
    const TemporaryFile empty{""};
    const TemporaryFile text{"country_code: DE\n"};
    const std::string fifo = testing::TempDir() + "nearhop-geo-fifo-" + std::to_string(getpid());
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    const RefusalCase cases[] = {
        {"absent", "/nonexistent/geo.mmdb", "No such file"},
        {"directory", "/", "not a regular file"},
        {"fifo", fifo, "not a regular file"},
        {"empty", empty.name(), "it is empty"},
        {"text", text.name(), "metadata"},
        {"other data", database_file("networks_only"), "neither countries nor coordinates"},
        {"no records", database_file("no_records"), "no records"},
    };
    for (const auto& [name, file, reason] : cases) {
        const auto result = Database::open(file);
        EXPECT_FALSE(result.database) << name;
        EXPECT_NE(result.error.find(reason), std::string::npos) << name << ": " << result.error;
        EXPECT_NE(result.error.find(file), std::string::npos) << "the sentence names the file: " << result.error;
        EXPECT_EQ(result.error.back(), '.') << result.error;
        EXPECT_EQ(result.error.find('\n'), std::string::npos) << result.error;
    }
    unlink(fifo.c_str());
}

TEST(Database, AFileThatIsTooLargeIsRefusedUnread) {
    const std::string file = NEARHOP_SOURCE_DIR "/geo/data/dbip-country.mmdb";
    struct stat facts{};
    ASSERT_EQ(::stat(file.c_str(), &facts), 0);
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    EXPECT_TRUE(Database::open(file, size).database);
    const auto refused = Database::open(file, size - 1);
    EXPECT_FALSE(refused.database);
    EXPECT_NE(refused.error.find("it has " + std::to_string(size) + " bytes"), std::string::npos) << refused.error;
    // A device has no size and no end.
    EXPECT_NE(Database::open("/dev/zero", size).error.find("not a regular file"), std::string::npos);
}

TEST(Database, WhatAllOccupyIsCountedUntilNobodyUsesThem) {
    const std::string file = NEARHOP_SOURCE_DIR "/geo/data/dbip-country.mmdb";
    struct stat facts{};
    ASSERT_EQ(::stat(file.c_str(), &facts), 0);
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    const auto before = Database::bytes_in_use();
    auto first = Database::open(file).database, second = Database::open(file).database;
    const auto held = first;
    EXPECT_EQ(Database::bytes_in_use(), before + 2 * size);
    first.reset();
    second.reset();
    EXPECT_EQ(Database::bytes_in_use(), before + size);
}

}  // namespace
}  // namespace nearhop::geo
