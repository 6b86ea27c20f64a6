#include "proxy/control/overrides.h"

#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <sys/stat.h>

namespace nearhop::control {
namespace {

using namespace std::chrono_literals;
using health::Override;
using std::chrono::system_clock;

const system_clock::time_point now{1'700'000'000s};
const health::TimePoint t0{500s};

std::string content(const std::string& file) {
    std::ifstream stream{file};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

Overrides at(const std::string& file) {
    Overrides overrides;
    overrides.set_file(file);
    return overrides;
}

TEST(Overrides, OutliveARestartUntilTheirEnd) {
    const Folder folder;
    const auto file = folder.file("overrides.json");
    auto before = at(file);
    EXPECT_EQ(before.load(now, t0), "") << "no file is a good file";
    before.put({"eu-west-1", Override::drain, "ada", "upgrade \"7\" grün", 1h}, now, t0);
    before.put({"us-east-1", Override::force_down, "bob", "fire", 10s}, now, t0);
    EXPECT_EQ(before.save(), "");
    EXPECT_EQ(content(file + ".new"), "") << "nothing is left beside it";
    struct stat facts{};
    ASSERT_EQ(::stat(file.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777u, 0600u);

    auto after = at(file);
    EXPECT_EQ(after.load(now + 60s, t0 + 9000s), "");
    EXPECT_EQ(after.all().size(), 1U) << "the other one ended while nothing ran";
    const auto* record = after.find("eu-west-1");
    ASSERT_TRUE(record);
    EXPECT_EQ(record->order, Override::drain);
    EXPECT_EQ(record->author, "ada");
    EXPECT_EQ(record->why, "upgrade \"7\" grün");
    EXPECT_EQ(record->set, now);
    EXPECT_EQ(record->expires, now + 1h);
    EXPECT_EQ(record->ends, t0 + 9000s + 59min);
}

TEST(Overrides, EndByAClockThatNobodySets) {
    Overrides overrides;
    overrides.put({"a", Override::drain, "ada", "x", 10s}, now, t0);
    overrides.put({"b", Override::drain, "ada", "x", 20s}, now, t0);
    EXPECT_TRUE(overrides.take_ended(t0 + 9s).empty());
    const auto ended = overrides.take_ended(t0 + 10s);
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].origin, "a");
    EXPECT_FALSE(overrides.find("a"));
    EXPECT_TRUE(overrides.find("b"));
    EXPECT_FALSE(overrides.remove("a"));
    EXPECT_TRUE(overrides.remove("b"));
}

TEST(Overrides, AClockSetBackWhileNothingRanDoesNotProlongThem) {
    const Folder folder;
    auto overrides = at(folder.file("o"));
    overrides.put({"a", Override::drain, "ada", "x", 10s}, now, t0);
    EXPECT_EQ(overrides.save(), "");
    EXPECT_EQ(overrides.load(now - 24h, t0), "");
    EXPECT_EQ(overrides.find("a")->ends, t0 + 10s);
}

TEST(Overrides, AFileThatIsNotUnderstoodIsRefusedWholeAndStays) {
    const Folder folder;
    const std::string good =
        R"({"origin":"a","override":"drain","author":"ada","reason":"x","set":1699999999,"expires":1700003599})";
    const auto with = [&](const std::string& wrong) {
        return R"({"version":1,"overrides":[)" + good + "," + wrong + "]}";
    };
    const auto changed = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        text.replace(text.find(from), from.size(), to);
        text.replace(text.find("\"a\""), 3, "\"b\"");
        return with(text);
    };
    const std::string files[] = {
        "",
        "{",
        "[]",
        "{}",
        R"({"version":2,"overrides":[]})",
        R"({"version":1,"overrides":{}})",
        R"({"overrides":[]})",
        with("7"),
        with("{}"),
        with(good),
        changed("drain", "none"),
        changed("drain", "explode"),
        changed("ada", ""),
        changed("ada", "a\\nb"),
        changed("\"ada\"", "7"),
        changed("1700003599", "\"soon\""),
        changed("1700003599", "1800000000"),
        changed("1700003599", "1699999998"),
        changed("1700003599", "9e18"),
        changed("1699999999", "-1"),
        std::string(2 * 1024 * 1024, ' '),
    };
    for (const auto& text : files) {
        auto overrides = at(folder.write("overrides.json", text));
        EXPECT_NE(overrides.load(now, t0), "") << text.substr(0, 200);
        EXPECT_TRUE(overrides.all().empty()) << text.substr(0, 200);
        EXPECT_EQ(content(overrides.file()), text);
    }
    auto overrides = at(folder.write("overrides.json", R"({"version":1,"overrides":[)" + good + "]}"));
    EXPECT_EQ(overrides.load(now, t0), "");
    EXPECT_EQ(overrides.all().size(), 1U);
    auto folder_itself = at(folder.file(""));
    EXPECT_NE(folder_itself.load(now, t0), "");
}

TEST(Overrides, AFileThatCannotBeWrittenLeavesTheOldOneAndSaysWhy) {
    const Folder folder;
    auto overrides = at(folder.file("overrides.json"));
    overrides.put({"a", Override::drain, "ada", "x", 1h}, now, t0);
    EXPECT_EQ(overrides.save(), "");
    const auto before = content(overrides.file());

    overrides.put({"b", Override::drain, "ada", "x", 1h}, now, t0);
    rlimit old{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
    const rlimit nothing{0, old.rlim_max};
    std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &nothing), 0);
    const auto problem = overrides.save();  // as on a full disk: the new file is there, and takes no byte
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
    EXPECT_NE(problem.find("File too large"), std::string::npos) << problem;
    EXPECT_EQ(content(folder.file("overrides.json")), before);
    overrides.set_file(folder.file("missing/overrides.json"));
    EXPECT_NE(overrides.save().find("No such file"), std::string::npos);
    overrides.set_file("");
    EXPECT_EQ(overrides.save(), no_state_file);
    EXPECT_EQ(content(folder.file("overrides.json")), before);
    EXPECT_TRUE(overrides.find("b")) << "it holds all the same";
}

TEST(Overrides, NotesAreTextsOfOneLine) {
    for (const char* good : {"a", "database upgrade", "grün \"quoted\" \\", "日本"})
        EXPECT_TRUE(is_note(good, 64)) << good;
    for (const char* bad : {"", "a\nb", "a\tb", "\x7f", "\xff", "\xc3", "\xed\xa0\x80"})
        EXPECT_FALSE(is_note(bad, 64)) << bad;
    EXPECT_FALSE(is_note(std::string(65, 'a'), 64));
    EXPECT_FALSE(is_note(std::string_view{"a\0b", 3}, 64));
}

}  // namespace
}  // namespace nearhop::control
