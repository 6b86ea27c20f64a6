#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string_view>
#include <type_traits>

/// How GoogleTest prints the rows of its tables. What it does not know it prints as bytes, addresses among them: such a
/// test has another name in each run, for ctest too.
namespace nearhop::tests {

/// By its name, if it has one. `using tests::PrintTo;` in the namespace of the row makes it known.
template <class Row>
    requires requires(const Row& row) { std::string_view{row.name}; }
void PrintTo(const Row& row, std::ostream* out) {
    *out << row.name;
}

/// For a PrintTo of a row without a name: the fields that tell it from the others. A null pointer is "none".
template <class... Fields>
void print_fields(std::ostream* out, const Fields&... fields) {
    const char* between = "";
    const auto print = [&](const auto& field) {
        *out << between;
        between = " ";
        if constexpr (std::is_same_v<decltype(field), const char* const&>)
            *out << (field ? field : "none");
        else
            *out << ::testing::PrintToString(field);
    };
    (print(fields), ...);
}

}  // namespace nearhop::tests
