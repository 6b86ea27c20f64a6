#include "proxy/control/memory_watch.h"

#include "proxy/setup/memory_limit.h"

#include <gtest/gtest.h>

namespace nearhop::control {
namespace {

TEST(Memory, ThatIsHeldCountsCopiesInMemoryFilesInFull) {
    constexpr std::uint64_t kib = 1024;
    const struct {
        const char* status;
        std::uint64_t copies, held;
    } cases[] = {
        {"Name:\tnearhop\nVmRSS:\t   20000 kB\nRssAnon:\t    9000 kB\nRssFile:\t   8000 kB\nRssShmem:\t    3000 kB\n",
         0, 17000 * kib},
        {"Name:\tnearhop\nVmRSS:\t   20000 kB\nRssShmem:\t    3000 kB\n", 500'000 * kib, 517000 * kib},
        {"Name:\tnearhop\nVmRSS:\t   20000 kB\n", 7 * kib, 20007 * kib},  // a kernel that does not tell them apart
        {"Name:\tVmRSS: 1\nVmRSS:\t 5 kB\nRssShmem:\t 9 kB\n", 1 * kib, 1 * kib},  // in the middle of a change
        {"Name:\tnearhop\n", 5 * kib, 0},
        {"", 5 * kib, 0},
    };
    for (const auto& [status, copies, held] : cases) EXPECT_EQ(held_memory(status, copies), held) << status;
}

TEST(Memory, OfACgroupWithoutALimitIsNone) {
    EXPECT_EQ(setup::cgroup_limit("max\n"), 0u);
    EXPECT_EQ(setup::cgroup_limit("9223372036854771712\n"), 0u);
    EXPECT_EQ(setup::cgroup_limit("1048576\n"), 1048576u);
    EXPECT_EQ(setup::cgroup_limit(""), 0u);
}

TEST(Memory, ForAGeoDatabaseIsHalfOfAllUnlessItIsConfigured) {
    conf::Limits limits;
    limits.memory = 1000;
    EXPECT_EQ(setup::most_geo_bytes(limits), 500u);
    limits.geo_bytes = 7;
    EXPECT_EQ(setup::most_geo_bytes(limits), 7u);
    limits = {};
    EXPECT_EQ(setup::most_geo_bytes(limits), setup::memory_limit(limits) / 2);
    EXPECT_GT(setup::memory_limit(limits), 0u);
}

}  // namespace
}  // namespace nearhop::control
