#include "proxy/wire/json_text.h"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace nearhop::wire {
namespace {

namespace json = boost::json;

/// The shortest decimal digits that are read back as the same number.
void append(std::string& out, double number) {
    if (!std::isfinite(number)) {
        out += "null";
        return;
    }
    // The longest: a sign, "0." and the digits of the smallest number, or those of the largest.
    std::array<char, 8 + std::numeric_limits<double>::max_digits10 - std::numeric_limits<double>::min_exponent10> text;
    number += 0.0;  // -0 is 0
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed).ptr;
    out.append(text.data(), end);
}

void append(std::string& out, const json::value& value) {
    const char* comma = "";
    switch (value.kind()) {
        case json::kind::double_: append(out, value.get_double()); break;
        case json::kind::array:
            out += '[';
            for (const auto& element : value.get_array()) {
                out += comma;
                append(out, element);
                comma = ",";
            }
            out += ']';
            break;
        case json::kind::object:
            out += '{';
            for (const auto& member : value.get_object()) {
                out += comma;
                out += json::serialize(member.key());
                out += ':';
                append(out, member.value());
                comma = ",";
            }
            out += '}';
            break;
        default: out += json::serialize(value);
    }
}

}  // namespace

json::value measured(double value) {
    if (!(value >= 0)) return nullptr;
    if (value == 0) return 0.0;
    // How many decimals leave three digits; at most the 15 that a double has.
    const double decimals = std::clamp(2 - std::floor(std::log10(value)), 0.0, 15.0);
    const double scale = std::pow(10.0, decimals);
    return std::round(value * scale) / scale;
}

std::string json_text(const json::value& value) {
    std::string out;
    append(out, value);
    return out;
}

}  // namespace nearhop::wire
