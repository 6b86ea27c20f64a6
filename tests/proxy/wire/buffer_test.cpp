#include "proxy/wire/buffer.h"

#include <gtest/gtest.h>

#include <new>
#include <random>
#include <string>

namespace nearhop::wire {
namespace {

TEST(Buffer, BeginsWithNothing) {
    Buffer buffer;
    EXPECT_TRUE(buffer.empty());
    EXPECT_EQ(buffer.room(), 0U);
    EXPECT_EQ(buffer.view(), "");
    buffer.append("");
    buffer.release();
    EXPECT_EQ(buffer.room(), 0U);
}

TEST(Buffer, IsAQueueWhateverIsDoneToIt) {
    std::mt19937_64 random{7};
    for (int round = 0; round < 30; ++round) {
        Buffer buffer;
        std::string model;
        for (int step = 0; step < 400; ++step) {
            const auto size = random() % (random() % 20 == 0 ? 60'000 : 2000);
            if (random() % 2 == 0 && model.size() + size <= Buffer::largest) {
                const std::string bytes(size, static_cast<char>('a' + step % 26));
                buffer.append(bytes);
                model += bytes;
            } else {
                const auto gone = std::min<std::size_t>(size * 2, model.size());
                buffer.consume(gone);
                model.erase(0, gone);
            }
            if (random() % 10 == 0) buffer.release();
            if (random() % 10 == 0) {
                Buffer moved{std::move(buffer)};
                buffer = std::move(moved);
            }
            ASSERT_EQ(buffer.size(), model.size());
            ASSERT_TRUE(buffer.view() == model);
        }
    }
}

TEST(Buffer, MakesRoomByMovingWhatItHoldsToTheFront) {
    Buffer buffer;
    buffer.append(std::string(4000, 'a'));
    const std::size_t capacity = buffer.size() + buffer.room();
    buffer.consume(3900);
    buffer.prepare(3000);
    EXPECT_EQ(buffer.size() + buffer.room(), capacity) << "no larger block was needed";
    EXPECT_EQ(buffer.view(), std::string(100, 'a'));
}

TEST(Buffer, HoldsItsLargestAndNotOneByteMore) {
    Buffer buffer;
    buffer.append(std::string(Buffer::largest - 10, 'a'));
    buffer.append("0123456789");
    EXPECT_EQ(buffer.size(), Buffer::largest);
    EXPECT_THROW(buffer.append("x"), std::bad_alloc);
    EXPECT_EQ(buffer.size(), Buffer::largest) << "and is unharmed";
    buffer.consume(1);
    buffer.append("x");
    EXPECT_EQ(buffer.view().back(), 'x');
}

TEST(Buffer, AReleasedBlockIsUsedAgain) {
    Buffer buffer;
    buffer.append("x");
    const char* const block = buffer.data();
    buffer.release();
    EXPECT_EQ(buffer.data(), block) << "not while there is something in it";
    buffer.consume(1);
    buffer.release();
    EXPECT_EQ(buffer.room(), 0U);
    Buffer other;
    other.append("y");
    EXPECT_EQ(other.data(), block);
}

}  // namespace
}  // namespace nearhop::wire
