#include "proxy/wire/json_text.h"

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

namespace nearhop::wire {
namespace {

TEST(Measured, HasThreeDigitsAndNeverLessThanTheWholeNumber) {
    const struct {
        double value;
        const char* text;
    } rows[] = {
        {2.054513, "2.05"},
        {12.345, "12.3"},
        {123.4, "123"},
        {1234.6, "1235"},
        {0.00021349, "0.000213"},
        {0.9999, "1"},
        {9.996, "10"},
        {0.5, "0.5"},
        {3, "3"},
        {0, "0"},
        {4'000'000'000.4, "4000000000"},
        {1e-20, "0"},
        {-1, "null"},
        {-0.001, "null"},
        {std::numeric_limits<double>::quiet_NaN(), "null"},
    };
    for (const auto& row : rows) EXPECT_EQ(json_text(measured(row.value)), row.text) << row.value;
}

TEST(JsonText, WritesNumbersWithoutExponents) {
    const struct {
        double value;
        const char* text;
    } rows[] = {
        {12.345678, "12.345678"},
        {0.1, "0.1"},
        {-0.25, "-0.25"},
        {-0.0, "0"},
        {1e21, "1000000000000000000000"},
        {1e-7, "0.0000001"},
        {std::numeric_limits<double>::infinity(), "null"},
    };
    for (const auto& row : rows) EXPECT_EQ(json_text(row.value), row.text) << row.value;
    // The longest texts that there can be.
    for (const double value : {std::numeric_limits<double>::denorm_min(), -std::numeric_limits<double>::max()})
        EXPECT_EQ(std::strtod(json_text(value).c_str(), nullptr), value);
}

TEST(JsonText, WritesAllElseAsBoostDoes) {
    for (const char* text :
         {R"({"a":[1,-2,18446744073709551615,true,false,null],"b":{},"c":[]})", R"([[],{"\"\n":"\\\u0001"}])"})
        EXPECT_EQ(json_text(boost::json::parse(text)), text);
}

}  // namespace
}  // namespace nearhop::wire
