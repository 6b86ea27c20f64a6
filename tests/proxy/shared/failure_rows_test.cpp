#include "proxy/shared/failure_rows.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace nearhop::shared {
namespace {

TEST(FailureRows, TheFirstSuccessAfterAFailureEndsItsRow) {
    FailureRows rows;
    EXPECT_FALSE(rows.succeeded()) << "nothing to end";
    rows.failed();
    rows.failed();
    EXPECT_TRUE(rows.succeeded());
    EXPECT_FALSE(rows.succeeded());
}

TEST(FailureRows, AddressesAreCountedApart) {
    FailureRows rows;
    rows.failed("10.0.0.1:443");
    EXPECT_FALSE(rows.succeeded());
    EXPECT_FALSE(rows.succeeded("10.0.0.2:443"));
    EXPECT_TRUE(rows.succeeded("10.0.0.1:443"));
    EXPECT_FALSE(rows.succeeded("10.0.0.1:443"));
}

TEST(FailureRows, AddressesThatAreGoneAreForgotten) {
    FailureRows rows;
    for (int i = 0; i < 300; ++i) {  // more than are ever held
        rows.failed("10.0.0." + std::to_string(i) + ":443");
        rows.retain({"10.0.1.1:443"});
    }
    rows.failed("10.0.1.1:443");
    rows.retain({"10.0.1.1:443", "10.0.1.2:443"});
    EXPECT_FALSE(rows.succeeded("10.0.0.7:443"));
    EXPECT_TRUE(rows.succeeded("10.0.1.1:443")) << "it has its place, and keeps it";
}

TEST(FailureRows, OneOfManySuccessesAtOnceEndsIt) {
    for (int round = 0; round < 200; ++round) {
        FailureRows rows;
        rows.failed();
        rows.failed("10.0.0.1:443");
        std::atomic<int> ended{0};
        std::vector<std::thread> workers;
        for (int i = 0; i < 4; ++i)
            workers.emplace_back([&] {
                ended += rows.succeeded() ? 1 : 0;
                ended += rows.succeeded("10.0.0.1:443") ? 100 : 0;
            });
        for (auto& worker : workers) worker.join();
        ASSERT_EQ(ended, 101);
    }
}

}  // namespace
}  // namespace nearhop::shared
