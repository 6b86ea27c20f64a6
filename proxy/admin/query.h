#pragma once

#include <string>
#include <string_view>

namespace nearhop::admin {

/// The value of `key` in a query string ("a=1&b=%20x"), decoded; empty when it is absent. The first one counts.
std::string query_value(std::string_view query, std::string_view key);

}  // namespace nearhop::admin
