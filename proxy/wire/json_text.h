#pragma once

#include <boost/json/value.hpp>

#include <string>

namespace nearhop::wire {

/// A measurement as people write it: three significant digits, and never less than the whole number (2.054513 is 2.05,
/// 0.00021349 is 0.000213, 1234.6 is 1235). null for a negative one: nothing was measured.
boost::json::value measured(double value);

/// JSON text whose numbers have no exponent: 2.05, where boost::json::serialize writes 2.05E0. An infinite number is
/// null.
std::string json_text(const boost::json::value& value);

}  // namespace nearhop::wire
