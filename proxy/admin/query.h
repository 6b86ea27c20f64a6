#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::admin {

/// The value of `key` in a query string ("a=1&b=%20x"), decoded; empty when it is absent. The first one counts.
std::string query_value(std::string_view query, std::string_view key);

/// What is wrong with the parameters of a request, from its query and its form: one sentence about the first that
/// nobody knows or that is there twice; empty when all is well.
std::string parameter_problem(std::initializer_list<std::string_view> queries, const std::vector<std::string>& known);

}  // namespace nearhop::admin
