#include "geo/database.h"
#include "tests/geo/support.h"

#include <cmath>

// libmaxminddb 1.7.1 forgets about 4 KiB when the description in a file's metadata is broken; no caller can free them.
// NOLINTNEXTLINE(bugprone-reserved-identifier): the name is LeakSanitizer's
extern "C" const char* __lsan_default_suppressions() { return "leak:libmaxminddb.so"; }

// Whatever a file holds, opening it and asking it ends: with an answer, "missing" or an error, never with a crash.
// These tests earn their keep under AddressSanitizer; without it they still find what faults, hangs or answers
// nonsense.
namespace nearhop::geo {
namespace {

const char* const asked[] = {"81.2.69.1",       "81.2.77.1",    "8.8.8.8", "0.0.0.0",
                             "255.255.255.255", "2a02:1234::5", "::",      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};

/// Opens these bytes and, when they pass for a database, asks it. True when it opened.
bool survives(TemporaryFile& file, const std::string& bytes) {
    file.write(bytes);
    const auto [database, error] = Database::open(file.name());
    if (!database) {
        EXPECT_FALSE(error.empty());
        return false;
    }
    std::uint64_t errors = 0;
    for (const char* address : asked) {
        Record record;
        const Lookup answer = database->lookup(ip(address), record);
        errors += answer == Lookup::error ? 1 : 0;
        EXPECT_TRUE(answer == Lookup::found || (!record.country && !record.point && !record.continent))
            << "nothing is reported but by a lookup that found";
        EXPECT_TRUE(!record.point || std::abs(closeness(*record.point, *record.point) - 1) < 1e-6);
        EXPECT_EQ(record.subdivision[3], '\0');
    }
    EXPECT_EQ(database->errors(), errors);
    return true;
}

class CorruptDatabase : public testing::TestWithParam<const char*> {};

TEST_P(CorruptDatabase, CutShortAnywhereItIsRefusedOrStillSound) {
    const std::string whole = contents(database_file(GetParam()));
    ASSERT_FALSE(whole.empty());
    TemporaryFile file{whole};
    ASSERT_TRUE(survives(file, whole));
    // All of the metadata, and with it the file's meaning, is at its end.
    for (std::size_t length = 0; length < whole.size(); ++length)
        EXPECT_FALSE(survives(file, whole.substr(0, length))) << "cut to " << length << " of " << whole.size();
}

TEST_P(CorruptDatabase, WithAnyByteFlippedNothingCrashes) {
    const std::string whole = contents(database_file(GetParam()));
    TemporaryFile file{whole};
    std::size_t refused = 0;
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (const int flip : {0xff, 0x80, 0x01}) {
            std::string bytes = whole;
            bytes[at] = static_cast<char>(bytes[at] ^ flip);
            refused += survives(file, bytes) ? 0 : 1;
        }
    EXPECT_GT(refused, 0U) << "the walk at opening should notice some of it";
}

INSTANTIATE_TEST_SUITE_P(Layouts, CorruptDatabase, testing::Values("nested", "flat", "floats", "strings"),
                         [](const auto& row) { return std::string{row.param}; });

TEST(CorruptDatabaseRecords, FoundAtOpeningAreNamedAsTheReason) {
    // The search tree of a file that was cut in the middle and glued together points past the data.
    std::string bytes = contents(database_file("nested"));
    const std::string marker = "\xab\xcd\xefMaxMind.com";
    const std::size_t metadata = bytes.rfind(marker);
    ASSERT_NE(metadata, std::string::npos);
    bytes.erase(metadata - 200, 200);
    TemporaryFile file{bytes};
    const auto [database, error] = Database::open(file.name());
    EXPECT_FALSE(database);
    EXPECT_NE(error.find("cannot use geo database " + file.name()), std::string::npos) << error;
}

}  // namespace
}  // namespace nearhop::geo
