#include "proxy/origin/dial.h"

#include "tests/proxy/loop/support.h"

#include <cstring>
#include <memory>
#include <vector>

namespace nearhop::origin {
namespace {

using account::Fault;
using test::Listening;
using test::Until;

struct DialTest : testing::Test {
    DialTest() {
        origin.tls = false;
        pool.set_limits({});
    }
    void add(const sockaddr_in& where, bool down = false) {
        shared::Endpoint endpoint;
        std::memcpy(&endpoint.address, &where, sizeof where);
        endpoint.size = sizeof where;
        endpoint.text = "127.0.0.1:" + std::to_string(ntohs(where.sin_port));
        endpoint.down = down;
        addresses->by_origin[0].push_back(endpoint);
    }
    /// An address that refuses: bound, so that nobody else gets the port, and not listening.
    const sockaddr_in& refusing() {
        closed.push_back(std::make_unique<Listening>(-1));
        return closed.back()->address;
    }
    /// An address that does not answer: a listener whose queue is full.
    const sockaddr_in& silent() {
        closed.push_back(std::make_unique<Listening>(0));
        for (int i = 0; i < 8; ++i) {
            test::Descriptor filler{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
            ::connect(filler.get(), reinterpret_cast<const sockaddr*>(&closed.back()->address), sizeof(sockaddr_in));
            fillers.push_back(std::move(filler));
        }
        return closed.back()->address;
    }
    Dial::Step finish(Dial& dial) {
        auto step = dial.step();
        struct Step final : loop::Notify {
            void notify() noexcept override {}
        } tick;
        loop::Timer timer{loop, tick};
        if (step == Dial::Step::pending) {
            timer.expires_at(dial.due());
            EXPECT_TRUE((Until{
                loop, [&] {
                    step = dial.step();
                    timer.expires_at(dial.due());
                    return step != Dial::Step::pending;
                }}.run()));
        }
        return step;
    }

    loop::Loop loop;
    loop::Wake wake{loop};
    std::shared_ptr<account::PoolCounters> counters = std::make_shared<account::PoolCounters>();
    Pool pool{loop, counters};
    shared::OriginInfo origin;
    conf::Failover limits;
    std::shared_ptr<shared::Addresses> addresses = std::make_shared<shared::Addresses>(shared::Addresses{{{}}});
    std::vector<std::unique_ptr<Listening>> closed;
    std::vector<test::Descriptor> fillers;
};

TEST_F(DialTest, AnOriginWithoutAddressesIsAtFaultForItsName) {
    Dial dial{pool, origin, addresses, 0, limits, wake};
    EXPECT_EQ(dial.step(), Dial::Step::failed);
    EXPECT_EQ(dial.fault(), Fault::origin_resolve);
    EXPECT_TRUE(dial.failures().empty());
}

TEST_F(DialTest, ConnectsToTheAddressThatListens) {
    const Listening listening;
    add(listening.address);
    Dial dial{pool, origin, addresses, 0, limits, wake};
    ASSERT_EQ(finish(dial), Dial::Step::ready);
    const auto connection = dial.take();
    ASSERT_NE(connection, nullptr);
    EXPECT_EQ(connection->requests, 1U);
    EXPECT_FALSE(connection->reused());
    EXPECT_EQ(counters->opened.get(), 1U);
    EXPECT_EQ(counters->active.get(), 1U);
    EXPECT_TRUE(dial.failures().empty());
}

TEST_F(DialTest, OnRefusalTheSecondAddressIsTriedAtOnce) {
    const Listening listening;
    const auto& nobody = refusing();
    add(nobody);
    add(listening.address);
    limits.second_address_after = loop::milliseconds{60'000};
    Dial dial{pool, origin, addresses, 0, limits, wake};
    ASSERT_EQ(finish(dial), Dial::Step::ready);
    EXPECT_EQ(dial.take()->address, addresses->by_origin[0][1].text);
    ASSERT_EQ(dial.failures().size(), 1U);
    EXPECT_EQ(dial.failures()[0].address, addresses->by_origin[0][0].text);
    EXPECT_EQ(dial.failures()[0].fault, Fault::origin_refused);
}

TEST_F(DialTest, WhenAllRefuseItFailsAndNamesThem) {
    for (int i = 0; i < 3; ++i) add(refusing());
    Dial dial{pool, origin, addresses, 0, limits, wake};
    ASSERT_EQ(finish(dial), Dial::Step::failed);
    EXPECT_EQ(dial.fault(), Fault::origin_refused);
    EXPECT_EQ(dial.failures().size(), 2U) << "two addresses per attempt";
    EXPECT_EQ(counters->active.get(), 0U);
}

TEST_F(DialTest, ASilentAddressTimesOut) {
    add(silent());
    limits.connect_timeout = loop::milliseconds{40};
    const auto began = loop.now();
    Dial dial{pool, origin, addresses, 0, limits, wake};
    ASSERT_EQ(finish(dial), Dial::Step::failed);
    EXPECT_EQ(dial.fault(), Fault::origin_connect_timeout);
    EXPECT_GE(loop.now() - began, loop::milliseconds{40});
    EXPECT_EQ(counters->active.get(), 0U);
}

TEST_F(DialTest, ASecondAddressIsTriedBesideASlowFirst) {
    const Listening listening;
    add(silent());
    add(listening.address);
    limits.second_address_after = loop::milliseconds{20};
    limits.connect_timeout = loop::milliseconds{10'000};
    Dial dial{pool, origin, addresses, 0, limits, wake};
    const auto began = loop::Clock::now();
    ASSERT_EQ(finish(dial), Dial::Step::ready);
    EXPECT_LT(loop::Clock::now() - began, loop::milliseconds{5'000});
    EXPECT_EQ(dial.take()->address, addresses->by_origin[0][1].text);
    EXPECT_EQ(counters->active.get(), 0U) << "the slower one was closed, and the winner was dropped by this test";
}

TEST_F(DialTest, BothAddressesShareOneLimit) {
    add(silent());
    add(silent());
    limits.second_address_after = loop::milliseconds{100};
    limits.connect_timeout = loop::milliseconds{200};
    const auto began = loop.now();
    Dial dial{pool, origin, addresses, 0, limits, wake};
    ASSERT_EQ(dial.step(), Dial::Step::pending);
    EXPECT_EQ(dial.due(), began + loop::milliseconds{100});
    ASSERT_EQ(finish(dial), Dial::Step::failed);
    EXPECT_EQ(dial.fault(), Fault::origin_connect_timeout);
    EXPECT_EQ(dial.failures().size(), 2U);
    EXPECT_LT(loop.now() - began, loop::milliseconds{290}) << "not 100 and then 200";
}

TEST_F(DialTest, AddressesTakeTurnsAndTheOnesThatAreDownComeLast) {
    const std::array<Listening, 3> all;
    for (std::size_t i = 0; i < all.size(); ++i) {
        ASSERT_EQ(::fcntl(all[i].descriptor.get(), F_SETFL, O_NONBLOCK), 0);
        add(all[i].address, i == 1);
    }
    std::array<int, 3> connected{};
    for (int i = 0; i < 6; ++i) {
        // Over loopback the handshake is complete when connect() returns, so the listener has it already.
        Dial dial{pool, origin, addresses, 0, limits, wake};
        ASSERT_EQ(dial.step(), Dial::Step::pending);
        for (std::size_t at = 0; at < all.size(); ++at) connected[at] += all[at].accept().get() >= 0;
    }
    EXPECT_EQ(connected[1], 0);
    EXPECT_GE(connected[0], 2);
    EXPECT_GE(connected[2], 2);
}

TEST_F(DialTest, AddressesThatAreDownAreTriedWhenThereIsNothingElse) {
    const Listening listening;
    add(refusing());
    add(listening.address, true);
    Dial dial{pool, origin, addresses, 0, limits, wake};
    ASSERT_EQ(finish(dial), Dial::Step::ready);
    EXPECT_EQ(dial.take()->address, addresses->by_origin[0][1].text);
}

TEST_F(DialTest, DroppedMidwayItClosesWhatItBegan) {
    add(silent());
    {
        Dial dial{pool, origin, addresses, 0, limits, wake};
        EXPECT_EQ(dial.step(), Dial::Step::pending);
        EXPECT_EQ(counters->active.get(), 1U);
    }
    EXPECT_EQ(counters->active.get(), 0U);
}

}  // namespace
}  // namespace nearhop::origin
