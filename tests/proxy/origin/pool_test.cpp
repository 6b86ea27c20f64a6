#include "proxy/origin/pool.h"

#include "tests/proxy/loop/support.h"

#include <memory>
#include <vector>

namespace nearhop::origin {
namespace {

using test::Until;

struct PoolTest : testing::Test {
    PoolTest() { pool.set_limits(limits); }

    /// A connection as it is behind its first exchange; the origin's end is kept in `theirs`.
    std::unique_ptr<Connection> connect(const std::string& address = "a:1") {
        test::TcpPair pair;
        auto connection = std::make_unique<Connection>(pool);
        counters->active.add();
        connection->address = address;
        connection->created = loop.now();
        connection->requests = 1;
        connection->stream.socket().open(loop, pair.ours.release(), leased, false);
        theirs.push_back(std::move(pair.theirs));
        return connection;
    }
    /// One connection at a time, each for another client: none of the idle ones can be taken by the next.
    void keep_announced(std::uint16_t count) {
        for (std::uint16_t port = 1; port <= count; ++port) {
            auto connection = connect();
            connection->announced = Announcement::of({geo::Address::v4(1), port}, {geo::Address::v4(2), 443});
            pool.keep(std::move(connection));
        }
    }
    /// Runs the loop until `done`; once per test.
    void run_until(std::function<bool()> done) { ASSERT_TRUE((Until{loop, std::move(done)}.run())); }
    /// What the origin sees next: 0 for an orderly end, -1 for a reset.
    ssize_t origin_sees(std::size_t which) {
        char byte = 0;
        return ::recv(theirs[which].get(), &byte, 1, MSG_DONTWAIT);
    }
    struct Leased final : loop::Notify {
        void notify() noexcept override { ++calls; }
        int calls = 0;
    };

    conf::Limits limits;
    loop::Loop loop;
    Leased leased;
    std::shared_ptr<account::PoolCounters> counters = std::make_shared<account::PoolCounters>();
    Pool pool{loop, counters};
    std::vector<test::Descriptor> theirs;
};

TEST_F(PoolTest, TheMostRecentlyUsedConnectionIsTakenFirst) {
    auto one = connect();
    auto two = connect();
    const auto* const first = one.get();
    const auto* const second = two.get();
    pool.keep(std::move(one));
    pool.keep(std::move(two));
    EXPECT_EQ(counters->idle.get(), 2U);
    EXPECT_EQ(counters->active.get(), 0U);
    const auto taken = pool.take();
    EXPECT_EQ(taken.get(), second);
    EXPECT_EQ(taken->requests, 2U);
    EXPECT_TRUE(taken->reused());
    EXPECT_EQ(pool.take().get(), first);
    EXPECT_EQ(pool.take(), nullptr);
    EXPECT_EQ(counters->idle.get(), 0U);
    EXPECT_EQ(counters->reused.get(), 2U);
    EXPECT_EQ(counters->active.get(), 1U) << "the second one was dropped at once";
}

TEST_F(PoolTest, AConnectionServesOnlyTheClientThatItAnnounced) {
    const auto announced = [](std::uint16_t port) {
        return Announcement::of({geo::Address::v4(1), port}, {geo::Address::v4(2), 443});
    };
    for (std::uint16_t port = 1; port <= 3; ++port) {
        auto connection = connect();
        connection->announced = announced(port);
        pool.keep(std::move(connection));
    }
    EXPECT_EQ(pool.take(announced(4)), nullptr);
    EXPECT_EQ(pool.take(), nullptr) << "nobody's request goes on a connection that says whose it is";
    EXPECT_EQ(counters->idle.get(), 3U);
    const auto taken = pool.take(announced(1));
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(taken->announced, announced(1));
    EXPECT_EQ(pool.take(announced(1)), nullptr);
    EXPECT_NE(pool.take(announced(3)), nullptr);
}

TEST_F(PoolTest, AConnectionServesOnlyTheNameThatItWasMadeFor) {
    for (const char* name : {"a.test", "b.test"}) {
        auto connection = connect();
        connection->server_name = name;
        pool.keep(std::move(connection));
    }
    EXPECT_EQ(pool.take({}, "c.test"), nullptr);
    EXPECT_EQ(pool.take(), nullptr);
    EXPECT_EQ(counters->idle.get(), 2U);
    const auto taken = pool.take({}, "a.test");
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(taken->server_name, "a.test");
    EXPECT_EQ(pool.take({}, "a.test"), nullptr);
}

TEST(IdleLimit, IsALittleLessThanTheOriginTells) {
    using std::chrono::seconds;
    EXPECT_EQ(idle_limit_of(std::nullopt), loop::milliseconds::max());
    EXPECT_EQ(idle_limit_of(seconds{5}), loop::milliseconds{4000});
    EXPECT_EQ(idle_limit_of(seconds{2}), loop::milliseconds{1000});
    EXPECT_EQ(idle_limit_of(seconds{1}), loop::milliseconds{500});
    EXPECT_EQ(idle_limit_of(seconds{0}), loop::milliseconds{0});
}

TEST_F(PoolTest, AnOriginThatTellsLessGetsLess) {
    auto brief = connect();
    brief->idle_limit = loop::milliseconds{20};
    pool.keep(connect());
    pool.keep(std::move(brief));
    pool.keep(connect());
    run_until([&] { return counters->idle.get() == 2; });
    EXPECT_EQ(origin_sees(0), 0) << "closed, and orderly: the one that was told";
    EXPECT_EQ(origin_sees(1), -1) << "still open";
    auto closing = connect();
    closing->idle_limit = loop::milliseconds{0};
    pool.keep(std::move(closing));
    EXPECT_EQ(counters->idle.get(), 2U) << "not kept at all";
}

TEST_F(PoolTest, UnreadOrUnsentBytesForbidReuse) {
    auto unread = connect();
    unread->stream.in().append("x");
    pool.keep(std::move(unread));
    auto unsent = connect();
    unsent->stream.write("x");
    pool.keep(std::move(unsent));
    EXPECT_EQ(pool.take(), nullptr);
    EXPECT_EQ(counters->active.get(), 0U);
    EXPECT_EQ(origin_sees(0), 0);
}

TEST_F(PoolTest, AConnectionIsWornByItsRequests) {
    limits.origin_requests = 2;
    pool.set_limits(limits);
    pool.keep(connect());
    auto second = pool.take();
    ASSERT_NE(second, nullptr);
    pool.keep(std::move(second));
    EXPECT_EQ(pool.take(), nullptr);
    EXPECT_EQ(counters->active.get() + counters->idle.get(), 0U);
}

TEST_F(PoolTest, AConnectionIsWornByItsAge) {
    auto old = connect();
    old->created = loop.now() - limits.origin_age;
    pool.keep(std::move(old));
    EXPECT_EQ(pool.take(), nullptr);
    EXPECT_EQ(origin_sees(0), 0) << "closed, and orderly";
}

TEST_F(PoolTest, BeyondItsLimitTheOldestIsClosed) {
    limits.origin_idle = 2;
    pool.set_limits(limits);
    for (int i = 0; i < 3; ++i) pool.keep(connect());
    EXPECT_EQ(counters->idle.get(), 2U);
    EXPECT_EQ(origin_sees(0), 0);
    EXPECT_EQ(origin_sees(1), -1) << "still open";
    EXPECT_EQ(errno, EAGAIN);
}

TEST_F(PoolTest, ByDefaultAsManyAreKeptAsWereInUseAtOnce) {
    std::vector<std::unique_ptr<Connection>> used;
    for (int i = 0; i < 200; ++i) used.push_back(connect());
    for (auto& each : used) pool.keep(std::move(each));
    EXPECT_EQ(counters->idle.get(), 200U) << "the next peak finds its connections";
    EXPECT_EQ(counters->active.get(), 0U);
}

TEST_F(PoolTest, ByDefaultNoMoreAreKeptThanWereInUseAtOnce) {
    std::vector<std::unique_ptr<Connection>> used;
    for (int i = 0; i < 80; ++i) used.push_back(connect());
    used.clear();
    keep_announced(200);
    EXPECT_EQ(counters->idle.get(), 80U);
}

TEST_F(PoolTest, ByDefaultSomeAreKeptOfClientsThatComeOneByOne) {
    keep_announced(200);
    EXPECT_EQ(counters->idle.get(), Pool::least_idle);
}

TEST_F(PoolTest, ThePeakIsForgottenAfterTwoIdleTimes) {
    limits.origin_idle_timeout = loop::milliseconds{30};
    pool.set_limits(limits);
    std::vector<std::unique_ptr<Connection>> used;
    for (int i = 0; i < 80; ++i) used.push_back(connect());
    for (auto& each : used) pool.keep(std::move(each));
    EXPECT_EQ(counters->idle.get(), 80U);
    const auto began = loop.now();
    run_until([&] { return loop.now() - began >= loop::milliseconds{70}; });
    EXPECT_EQ(counters->idle.get(), 0U);
    keep_announced(200);
    EXPECT_EQ(counters->idle.get(), Pool::least_idle);
}

TEST_F(PoolTest, WithoutRoomNothingIsKept) {
    limits.origin_idle = 0;
    pool.set_limits(limits);
    pool.keep(connect());
    EXPECT_EQ(counters->idle.get(), 0U);
    EXPECT_EQ(counters->active.get(), 0U);
}

TEST_F(PoolTest, AnIdleConnectionThatTheOriginClosesIsForgotten) {
    pool.keep(connect());
    pool.keep(connect());
    theirs[0].reset();
    run_until([&] { return counters->idle.get() == 1; });
    EXPECT_NE(pool.take(), nullptr);
    EXPECT_EQ(counters->idle.get(), 0U);
}

TEST_F(PoolTest, AStrayByteEndsAnIdleConnection) {
    pool.keep(connect());
    test::send_all(theirs[0].get(), "H");
    run_until([&] { return counters->idle.get() == 0; });
    EXPECT_EQ(pool.take(), nullptr);
    EXPECT_EQ(counters->active.get(), 0U);
}

TEST_F(PoolTest, AByteThatCameBeforeItWasKeptForbidsReuse) {
    auto connection = connect();
    test::send_all(theirs[0].get(), "H");
    run_until([&] { return leased.calls > 0; });
    pool.keep(std::move(connection));
    EXPECT_EQ(pool.take(), nullptr);
}

TEST_F(PoolTest, AnEndThatCameBeforeItWasKeptForbidsReuse) {
    auto connection = connect();
    theirs[0].reset();
    run_until([&] { return leased.calls > 0; });
    pool.keep(std::move(connection));
    EXPECT_EQ(pool.take(), nullptr);
}

TEST_F(PoolTest, IdleConnectionsAreClosedWithAnOrderlyEndAfterTheirTime) {
    limits.origin_idle_timeout = loop::milliseconds{30};
    pool.set_limits(limits);
    pool.keep(connect());
    pool.keep(connect());
    const auto began = loop.now();
    run_until([&] { return counters->idle.get() == 0; });
    EXPECT_GE(loop.now() - began, loop::milliseconds{30});
    EXPECT_EQ(origin_sees(0), 0);
    EXPECT_EQ(origin_sees(1), 0);
}

TEST_F(PoolTest, ConnectionsToAddressesThatAreGoneOrDownAreClosed) {
    pool.keep(connect("a:1"));
    pool.keep(connect("b:1"));
    pool.keep(connect("c:1"));
    shared::Endpoint good;
    good.text = "a:1";
    shared::Endpoint down;
    down.text = "b:1";
    down.down = true;
    pool.retain({good, down});
    EXPECT_EQ(counters->idle.get(), 1U);
    EXPECT_EQ(counters->active.get(), 0U);
    const auto left = pool.take();
    ASSERT_NE(left, nullptr);
    EXPECT_EQ(left->address, "a:1");
}

TEST_F(PoolTest, AConnectionInUseWhoseAddressGoesIsNotKept) {
    shared::Endpoint good;
    good.text = "a:1";
    shared::Endpoint down;
    down.text = "b:1";
    down.down = true;
    auto one = connect("a:1"), two = connect("b:1"), three = connect("c:1");
    pool.retain({good, down});
    pool.keep(std::move(one));
    pool.keep(std::move(two));
    pool.keep(std::move(three));
    EXPECT_EQ(counters->idle.get(), 2U) << "one that is down may be all that there is";
    EXPECT_EQ(counters->active.get(), 0U);
}

TEST_F(PoolTest, SessionsGoWithTheirAddress) {
    pool.set_tls("trust");
    EXPECT_EQ(pool.session_for("other trust", "a:1"), nullptr);
    std::vector<shared::Endpoint> endpoints(1);
    for (int i = 0; i < 100; ++i) {
        endpoints[0].text = std::to_string(i) + ":1";
        pool.retain(endpoints);
        ASSERT_NE(pool.session_for("trust", endpoints[0].text), nullptr);
    }
    EXPECT_EQ(pool.session_count(), 1U);
    const auto held = pool.session_for("trust", "99:1");
    EXPECT_EQ(pool.session_for("trust", "99:1"), held) << "the next connection learns from this one";
    pool.set_tls("new trust");
    EXPECT_EQ(pool.session_count(), 0U);
    EXPECT_NE(pool.session_for("new trust", "99:1"), held);
}

TEST_F(PoolTest, SessionsAreOfAnAddressAndANameAndBounded) {
    pool.set_tls("trust");
    const auto session = pool.session_for("trust", "a:1", "a.test");
    EXPECT_EQ(pool.session_for("trust", "a:1", "a.test"), session);
    EXPECT_NE(pool.session_for("trust", "a:1", "b.test"), session) << "resumed, it would verify nothing";
    EXPECT_NE(pool.session_for("trust", "a:1"), session);
    EXPECT_NE(pool.session_for("trust", "b:1", "a.test"), session);
    std::vector<shared::Endpoint> endpoints(1);
    endpoints[0].text = "a:1";
    pool.retain(endpoints);
    EXPECT_EQ(pool.session_count(), 3U) << "those of b:1 have gone";
    EXPECT_EQ(pool.session_for("trust", "a:1", "a.test"), session);
    for (std::size_t i = 0; i < 10 * Pool::most_sessions; ++i) {
        ASSERT_NE(pool.session_for("trust", "a:1", std::to_string(i) + ".test"), nullptr);
        ASSERT_LE(pool.session_count(), Pool::most_sessions) << "clients choose the names";
    }
}

TEST_F(PoolTest, ARetiredOneKeepsNothing) {
    auto in_use = connect();
    pool.keep(connect());
    pool.retire();
    EXPECT_EQ(counters->idle.get(), 0U);
    pool.keep(std::move(in_use));
    EXPECT_EQ(counters->idle.get() + counters->active.get(), 0U);
}

TEST_F(PoolTest, ItsCountersOutliveItAndReturnToZero) {
    auto own = std::make_unique<Pool>(loop, counters);
    own->set_limits(limits);
    test::TcpPair pair;
    auto connection = std::make_unique<Connection>(*own);
    counters->active.add();
    connection->created = loop.now();
    connection->stream.socket().open(loop, pair.ours.release(), leased, false);
    own->keep(std::move(connection));
    EXPECT_EQ(counters->idle.get(), 1U);
    own.reset();
    EXPECT_EQ(counters->idle.get(), 0U);
    EXPECT_EQ(counters->active.get(), 0U);
}

}  // namespace
}  // namespace nearhop::origin
