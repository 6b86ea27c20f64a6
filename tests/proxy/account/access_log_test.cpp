#include "proxy/account/access_log.h"

#include "proxy/account/byte_ring.h"
#include "proxy/account/log_file.h"
#include "proxy/shared/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace nearhop::account {
namespace {

namespace fs = std::filesystem;

class AccessLogTest : public testing::Test {
protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "nearhop-log-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        folder = name;
        log.access.value = (folder / "access.log").string();
    }
    void TearDown() override { fs::remove_all(folder); }

    static std::vector<std::string> lines(const fs::path& file) {
        std::ifstream in{file};
        std::vector<std::string> out;
        for (std::string line; std::getline(in, line);) out.push_back(line);
        return out;
    }
    static void write(AccessLog& to, unsigned worker, const std::string& path) {
        AccessRecord record;
        record.path = path;
        to.lane(worker).write(record);
    }
    /// The writer looks by itself every 50 ms: that is what is waited for here.
    template <class Condition>
    static bool comes(Condition condition) {
        for (int i = 0; i < 1000; ++i) {
            if (condition()) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
        return false;
    }

    fs::path folder;
    conf::Log log;
    shared::Registry registry{2};
};

TEST(ByteRing, GivesBackEveryByteInOrderAcrossItsEnd) {
    ByteRing<16> ring;
    std::string got, want;
    for (int i = 0; i < 100; ++i) {
        const std::string text(static_cast<std::size_t>(i % 11), static_cast<char>('a' + i % 26));
        ASSERT_TRUE(ring.push(text));
        want += text;
        for (const auto piece : ring.peek()) {
            got += piece;
            ring.pop(piece.size());
        }
    }
    EXPECT_EQ(got, want);
}

TEST(ByteRing, TakesAllOrNothing) {
    ByteRing<16> ring;
    EXPECT_TRUE(ring.push("0123456789"));
    EXPECT_FALSE(ring.push("0123456"));
    EXPECT_TRUE(ring.push("012345"));
    EXPECT_FALSE(ring.push("x"));
    EXPECT_EQ(std::string{ring.peek()[0]} + std::string{ring.peek()[1]}, "0123456789012345");
    ring.pop(1);
    EXPECT_TRUE(ring.push("x"));
}

TEST_F(AccessLogTest, WritesWhatIsQueuedByItselfAndAtItsEnd) {
    {
        AccessLog access{log, registry.all_workers(), registry.log_write_dropped};
        ASSERT_TRUE(access.enabled());
        write(access, 0, "/first");
        EXPECT_TRUE(comes([&] { return lines(*log.access).size() == 1; }));
        write(access, 1, "/last");
    }
    const auto written = lines(*log.access);
    ASSERT_EQ(written.size(), 2u);
    EXPECT_NE(written[0].find("path=/first"), std::string::npos);
    EXPECT_NE(written[1].find("path=/last"), std::string::npos);
}

TEST_F(AccessLogTest, LosesNoLineOfTwoWorkersWhileItIsReopenedAgainAndAgain) {
    constexpr int each = 3000;
    {
        AccessLog access{log, registry.all_workers(), registry.log_write_dropped};
        std::vector<std::thread> workers;
        workers.reserve(2);
        for (unsigned worker = 0; worker < 2; ++worker)
            workers.emplace_back([&access, worker] {
                for (int i = 0; i < each; ++i) {
                    write(access, worker, "/" + std::to_string(worker) + "/" + std::to_string(i));
                    if (i % 100 == 0) std::this_thread::yield();
                }
            });
        for (int i = 0; i < 5; ++i) {
            fs::rename(*log.access, folder / ("old." + std::to_string(i)));
            access.reopen();
            ASSERT_TRUE(comes([&] { return fs::exists(*log.access); }));
        }
        for (auto& worker : workers) worker.join();
    }
    std::multiset<std::string> paths;
    for (const auto& file : fs::directory_iterator(folder))
        for (const auto& line : lines(file.path())) {
            const auto begin = line.find("path=") + 5;
            paths.insert(line.substr(begin, line.find(' ', begin) - begin));
        }
    const auto dropped = registry.worker(0).log_dropped.get() + registry.worker(1).log_dropped.get();
    EXPECT_EQ(paths.size() + dropped, 2u * each);
    EXPECT_EQ(std::set<std::string>(paths.begin(), paths.end()).size(), paths.size()) << "a line came twice";
}

TEST_F(AccessLogTest, DropsAndCountsWhenNobodyReads) {
    const auto pipe = folder / "pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
    ASSERT_GE(reader, 0);
    log.access.value = pipe.string();
    constexpr int sent = 5000;
    const std::string path(1000, 'x');
    std::string got;
    {
        AccessLog access{log, registry.all_workers(), registry.log_write_dropped};
        for (int i = 0; i < sent; ++i) write(access, 0, "/" + path);
        EXPECT_GT(registry.worker(0).log_dropped.get(), 0u) << "a full ring waits for nobody";
    }
    char block[65536];
    for (ssize_t count; (count = ::read(reader, block, sizeof block)) > 0;)
        got.append(block, static_cast<std::size_t>(count));
    ::close(reader);
    const auto arrived = static_cast<std::uint64_t>(std::count(got.begin(), got.end(), '\n'));
    EXPECT_EQ(arrived + registry.worker(0).log_dropped.get() + registry.log_write_dropped.get(), sent);
    EXPECT_GT(arrived, 0u);
}

TEST_F(AccessLogTest, CountsWhatAFullDiskTakes) {
    log.access.value = "/dev/full";
    {
        AccessLog access{log, registry.all_workers(), registry.log_write_dropped};
        for (int i = 0; i < 10; ++i) write(access, 0, "/lost");
        EXPECT_TRUE(comes([&] { return registry.log_write_dropped.get() == 10; }));
    }
    EXPECT_EQ(registry.worker(0).log_dropped.get(), 0u);
}

TEST_F(AccessLogTest, CanBeOff) {
    log.access.value = "off";
    AccessLog access{log, registry.all_workers(), registry.log_write_dropped};
    EXPECT_FALSE(access.enabled());
    write(access, 0, "/nowhere");
    access.reopen();
}

TEST_F(AccessLogTest, RefusesAFileThatCannotBeOpened) {
    log.access.value = (folder / "no" / "such" / "folder").string();
    try {
        AccessLog access{log, registry.all_workers(), registry.log_write_dropped};
        FAIL() << "opened " << *log.access;
    } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string_view{error.what()}.find(*log.access), std::string_view::npos);
    }
}

TEST_F(AccessLogTest, GoesOnWithTheOldFileWhenTheNewOneCannotBeOpened) {
    {
        AccessLog access{log, registry.all_workers(), registry.log_write_dropped};
        fs::rename(*log.access, folder / "old");
        fs::create_directory(*log.access);  // in the way
        access.reopen();
        write(access, 0, "/still");
    }
    EXPECT_EQ(lines(folder / "old").size(), 1u);
}

/// A pipe whose reader is away for a while stands in for a disk that is full for a while.
TEST(LogFile, EndsALineThatWasCutBeforeTheNextOne) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_NONBLOCK), 0);
    const std::string through = "/proc/self/fd/" + std::to_string(ends[1]);
    LogFile file;
    std::string error;
    ASSERT_TRUE(file.open(through, error)) << error;
    std::string_view part = "half a li";
    EXPECT_EQ(file.write(part, 0), LogFile::Result::written);
    char block[64];
    EXPECT_EQ(::read(ends[0], block, sizeof block), 9);
    ::close(ends[0]);  // now every write fails
    std::signal(SIGPIPE, SIG_IGN);
    part = "ne\n";
    EXPECT_EQ(file.write(part, 0), LogFile::Result::failed);
    const int reader = ::open(through.c_str(), O_RDONLY | O_NONBLOCK);
    ASSERT_GE(reader, 0);
    part = "whole\n";
    EXPECT_EQ(file.write(part, 0), LogFile::Result::written);
    const auto count = ::read(reader, block, sizeof block);
    EXPECT_EQ((std::string{block, static_cast<std::size_t>(std::max<ssize_t>(count, 0))}), "\nwhole\n");
    ::close(reader);
    ::close(ends[1]);
}

}  // namespace
}  // namespace nearhop::account
