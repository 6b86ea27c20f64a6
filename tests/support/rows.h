#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

/// How GoogleTest prints the rows of its tables. What it does not know it prints as bytes, addresses among them: such a
/// test has another name in each run, for ctest too.
namespace nearhop::tests {

/// By its name, if it has one. `using tests::PrintTo;` in the namespace of the row makes it known.
template <class Row>
    requires requires(const Row& row) { std::string_view{row.name}; }
void PrintTo(const Row& row, std::ostream* out) {
    *out << row.name;
}

/// Odd bytes as escapes. A null pointer is "none".
inline void print_field(std::ostream* out, const char* text) {
    if (!text) text = "none";
    const std::string quoted = ::testing::PrintToString(std::string{text});
    *out << std::string_view{quoted}.substr(1, quoted.size() - 2);
}
template <class Field>
void print_field(std::ostream* out, const Field& field) {
    *out << ::testing::PrintToString(field);
}
inline void print_field(std::ostream* out, const std::vector<const char*>& texts) {
    const char* between = "";
    for (const char* text : texts) {
        *out << between;
        print_field(out, text);
        between = " + ";
    }
}

/// For a PrintTo of a row without a name: the fields that tell it from the others.
template <class First, class... Others>
void print_fields(std::ostream* out, const First& first, const Others&... others) {
    print_field(out, first);
    ((*out << ' ', print_field(out, others)), ...);
}

}  // namespace nearhop::tests
