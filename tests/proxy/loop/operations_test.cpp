#include "proxy/loop/operations.h"

#include "proxy/loop/pause.h"
#include "tests/proxy/loop/support.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <string>

namespace nearhop::loop {
namespace {

namespace asio = boost::asio;
using test::TcpPair;
using test::Until;

/// Reads from one end of a pair.
struct Reader final : Operations {
    Reader(Loop& loop, bool& is_gone) : Operations{loop}, end{loop.context()}, gone{is_gone} {
        end.assign(pair.ours.release());
    }
    ~Reader() override { gone = true; }
    void cancel() noexcept override { end.close(); }

    TcpPair pair;
    asio::posix::stream_descriptor end;
    std::array<char, 8> block{};
    bool& gone;
};

struct World {
    Loop loop;
    bool gone = false;
    std::shared_ptr<Reader> reader = std::make_shared<Reader>(loop, gone);
    Ended ended{};
    bool is_over = false;

    /// All eight bytes: an operation of several steps.
    Task<> read() {
        ended = co_await asio::async_read(reader->end, asio::buffer(reader->block), reader->token());
        is_over = true;
    }
    bool until_over() {
        return Until{loop, [this] { return is_over; }}.run();
    }
};

TEST(Operations, BringTheirResultOverSeveralSteps) {
    World world;
    const auto task = world.read();
    task.start();
    test::send_all(world.reader->pair.theirs.get(), "1234");
    world.loop.post([&] { test::send_all(world.reader->pair.theirs.get(), "5678"); });
    ASSERT_TRUE(world.until_over());
    EXPECT_FALSE(world.ended.error);
    EXPECT_EQ(world.ended.bytes, 8u);
    EXPECT_EQ(std::string(world.reader->block.data(), 8), "12345678");
}

TEST(Operations, SayWhyTheyFailed) {
    World world;
    const auto task = world.read();
    task.start();
    world.reader->pair.theirs.reset();
    ASSERT_TRUE(world.until_over());
    EXPECT_EQ(world.ended.error, asio::error::eof);
    EXPECT_FALSE(world.reader->timed_out());
}

TEST(Operations, EndAtTheirDeadline) {
    World world;
    world.reader->expires_after(milliseconds{20});
    const auto task = world.read();
    task.start();
    ASSERT_TRUE(world.until_over());
    EXPECT_EQ(world.ended.error, asio::error::timed_out);
    EXPECT_TRUE(world.reader->timed_out());
}

TEST(Operations, MayBeLeftInTheMiddle) {
    World world;
    {
        const auto task = world.read();
        task.start();
        const auto reader = std::exchange(world.reader, nullptr);
        test::send_all(reader->pair.theirs.get(), "1234");  // half of it: another step is due
        reader->cancel();
    }
    EXPECT_FALSE(world.gone) << "what is under way still uses it";
    ASSERT_TRUE((Until{world.loop, [&] { return world.gone; }}.run()));
    EXPECT_FALSE(world.is_over);
}

TEST(Operations, GoWithTheLoop) {
    bool gone = false;
    {
        Loop loop;
        const auto reader = std::make_shared<Reader>(loop, gone);
        Operations::Slot slot;
        const auto start = [&] { asio::async_read(reader->end, asio::buffer(reader->block), reader->start(slot)); };
        start();
        EXPECT_TRUE(slot.running());
        reader->cancel();
        ASSERT_TRUE((Until{loop, [&] { return !slot.running(); }}.run()));
        start();  // fails at once, but nobody runs the handler any more
    }
    EXPECT_TRUE(gone);
}

TEST(Operations, APauseEndsWhenItsTimeIsOver) {
    Loop loop;
    const auto pause = std::make_shared<Pause>(loop);
    const auto began = Clock::now();
    const auto body = [](Pause& of) -> Task<> { co_await of.wait(milliseconds{30}); };
    test::run(loop, body(*pause));
    EXPECT_GE(Clock::now() - began, milliseconds{30});
}

}  // namespace
}  // namespace nearhop::loop
