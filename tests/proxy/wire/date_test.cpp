#include "proxy/wire/date.h"

#include <gtest/gtest.h>

#include <string>

namespace nearhop::wire {
namespace {

using namespace std::chrono;

std::string text(sys_days day, seconds time) {
    const auto line = date_line(day + time);
    return {line.data(), line.size()};
}

TEST(Date, HasTheOneFormOfTheRfc) {
    EXPECT_EQ(text(1994y / 11 / 6, 8h + 49min + 37s), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    EXPECT_EQ(text(2024y / 2 / 29, 0s), "Date: Thu, 29 Feb 2024 00:00:00 GMT\r\n");
    EXPECT_EQ(text(1999y / 12 / 31, 23h + 59min + 59s), "Date: Fri, 31 Dec 1999 23:59:59 GMT\r\n");
    EXPECT_EQ(text(1970y / 1 / 1, 0s), "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
}

TEST(Date, IsFormattedOnceASecondAndNeverOld) {
    Date date;
    const auto now = loop::Clock::now();
    const auto wall = system_clock::now();
    const std::string first{date.line(now)};
    const auto one = date_line(wall);
    const auto next = date_line(wall + 1s);
    EXPECT_TRUE(first == std::string(one.data(), one.size()) || first == std::string(next.data(), next.size()));
    const char* const kept = date.line(now).data();
    EXPECT_EQ(date.line(now).data(), kept);
    EXPECT_EQ(date.line(now), first) << "the same instant has the same text";
}

}  // namespace
}  // namespace nearhop::wire
