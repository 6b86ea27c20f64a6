#include "tests/proxy/loop/support.h"

#include <memory>
#include <stdexcept>
#include <vector>

namespace nearhop::loop {
namespace {

Task<int> seven() { co_return 7; }

Task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }

Task<void> fail(const char* what) {
    throw std::runtime_error{what};
    co_return;
}

TEST(Task, DoesNotBeginBeforeItIsStarted) {
    bool began = false;
    const auto body = [](bool& flag) -> Task<void> {
        flag = true;
        co_return;
    };
    const auto task = body(began);
    EXPECT_FALSE(began);
    EXPECT_FALSE(task.done());
    task.start();
    EXPECT_TRUE(began);
    EXPECT_TRUE(task.done());
}

TEST(Task, HandsItsValueToWhoAwaitsIt) {
    const auto body = []() -> Task<int> {
        const int first = co_await seven();
        const auto second = co_await boxed(35);
        co_return first + *second;
    };
    auto task = body();
    task.start();
    ASSERT_TRUE(task.done());
    EXPECT_EQ(task.result(), 42);
}

TEST(Task, AnExceptionComesOutWhereTheTaskIsAwaited) {
    const auto body = []() -> Task<std::string> {
        try {
            co_await fail("below");
        } catch (const std::runtime_error& error) {
            co_return error.what();
        }
        co_return "nothing thrown";
    };
    auto task = body();
    task.start();
    EXPECT_EQ(task.result(), "below");
}

TEST(Task, AnExceptionOfTheTopmostTaskComesOutOfResult) {
    auto task = fail("top");
    task.start();
    ASSERT_TRUE(task.done());
    EXPECT_THROW(task.result(), std::runtime_error);
}

TEST(Task, AnEmptyOneIsDone) {
    Task<void> task;
    EXPECT_TRUE(task.done());
    task = fail("replaced before it ran");
    EXPECT_FALSE(task.done());
    Task<void> other = std::move(task);
    EXPECT_TRUE(task.done());
    EXPECT_FALSE(other.done());
}

struct Guard {
    explicit Guard(std::vector<int>& log, int name) : log_{log}, name_{name} {}
    ~Guard() { log_.push_back(name_); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

private:
    std::vector<int>& log_;
    int name_;
};

Task<void> inner(Wake& wake, std::vector<int>& log) {
    const Guard guard{log, 1};
    co_await wake.wait();
    log.push_back(-1);
}
Task<void> outer(Wake& wake, std::vector<int>& log) {
    const Guard guard{log, 2};
    co_await inner(wake, log);
    log.push_back(-2);
}

TEST(Task, DroppedWhileItWaitsItDestroysAllFramesInnermostFirst) {
    Loop loop;
    Wake wake{loop};
    std::vector<int> log;
    {
        const auto task = outer(wake, log);
        task.start();
        EXPECT_FALSE(task.done());
    }
    EXPECT_EQ(log, (std::vector<int>{1, 2}));
}

TEST(Task, AssigningOverATaskThatWaitsCutsItOff) {
    Loop loop;
    Wake wake{loop};
    std::vector<int> log;
    auto task = outer(wake, log);
    task.start();
    task = fail("not started");
    EXPECT_EQ(log, (std::vector<int>{1, 2}));
}

TEST(Task, FramesAreUsedAgain) {
    void* const first = allocate_frame(300);
    free_frame(first, 300);
    void* const second = allocate_frame(290);  // the same class of 128 bytes
    EXPECT_EQ(second, first);
    void* const third = allocate_frame(290);
    EXPECT_NE(third, second);
    free_frame(second, 290);
    free_frame(third, 290);
}

TEST(Task, FramesOfEverySizeAreWhole) {
    std::vector<std::pair<unsigned char*, std::size_t>> frames;
    for (std::size_t size = 1; size <= 5000; size += 37) {
        auto* frame = static_cast<unsigned char*>(allocate_frame(size));
        std::fill_n(frame, size, static_cast<unsigned char>(size));  // AddressSanitizer sees one byte too many
        frames.emplace_back(frame, size);
    }
    for (const auto& [frame, size] : frames) {
        for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(frame[i], static_cast<unsigned char>(size));
        free_frame(frame, size);
    }
}

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(NDEBUG)
Task<std::uint64_t> same(std::uint64_t value) { co_return value; }

Task<std::uint64_t> sum(std::uint64_t rounds) {
    std::uint64_t total = 0;
    for (std::uint64_t i = 0; i < rounds; ++i) total += co_await same(i);
    co_return total;
}

TEST(Task, MillionsOfAwaitsThatNeverSuspendDoNotGrowTheStack) {
    auto task = sum(5'000'000);
    task.start();
    EXPECT_EQ(task.result(), 5'000'000ULL * 4'999'999 / 2);
}
#endif

}  // namespace
}  // namespace nearhop::loop
