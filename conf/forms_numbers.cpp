#include "conf/forms.h"
#include "conf/syntax.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

/// Times, rates, sizes, counts and other numbers.
namespace nearhop::conf {
namespace {

template <class T>
Form<T> number(T min, T max, const std::string& what) {
    return {what + " from " + decimal(min) + " to " + decimal(max),
            [min, max](const std::string& text) -> std::optional<T> {
                T value{};
                const char* end = text.data() + text.size();
                const auto [stop, error] = std::from_chars(text.data(), end, value);
                if (error != std::errc{} || stop != end || value < min || value > max) return std::nullopt;
                return value;
            },
            decimal<T>,
            {},
            false,
            schema::integers(decimal(min), decimal(max))};
}

std::string duration_schema() { return schema::matching("^[0-9]+(ms|s|m|h)$"); }

std::optional<std::pair<unsigned, unsigned>> statuses_from(const std::string& text) {
    const auto dash = text.find('-');
    const auto low = integer_from(std::string_view{text}.substr(0, dash));
    const auto high = dash == std::string::npos ? low : integer_from(std::string_view{text}.substr(dash + 1));
    if (!low || !high || *low < 100 || *high > 599 || *low > *high) return std::nullopt;
    return std::pair{static_cast<unsigned>(*low), static_cast<unsigned>(*high)};
}

}  // namespace

Form<milliseconds> duration(milliseconds min, milliseconds max) {
    return {"a duration with its unit (ms, s, m, h) from " + to_string(min) + " to " + to_string(max),
            [min, max](const std::string& text) {
                const auto value = duration_from(text);
                return value && *value >= min && *value <= max ? value : std::nullopt;
            },
            [](const milliseconds& value) { return to_string(value); },
            {},
            false,
            duration_schema()};
}

Form<Hedge> hedge() {
    const Form<milliseconds> after = duration(10ms, 1min);
    return {"off, p95, or " + after.wanted,
            [read = after.read](const std::string& text) -> std::optional<Hedge> {
                if (text == "off") return Hedge{};
                if (text == "p95") return Hedge{Hedge::Kind::p95, 0ms};
                const auto time = read(text);
                return time ? std::optional{Hedge{Hedge::Kind::after, *time}} : std::nullopt;
            },
            [](const Hedge& value) {
                return value.kind == Hedge::Kind::off   ? std::string{"off"}
                       : value.kind == Hedge::Kind::p95 ? std::string{"p95"}
                                                        : to_string(value.after);
            },
            {"off", "p95"},
            false,
            schema::matching("^([0-9]+(ms|s|m|h)|off|p95)$")};
}

Form<seconds> whole_seconds(seconds min, seconds max) {
    return {"a duration in whole seconds with its unit (s, m, h) from " + to_string(milliseconds{min}) + " to " +
                to_string(milliseconds{max}),
            [min, max](const std::string& text) -> std::optional<seconds> {
                const auto value = duration_from(text);
                if (!value || *value < min || *value > max || *value % 1s != 0ms) return std::nullopt;
                return std::chrono::duration_cast<seconds>(*value);
            },
            [](const seconds& value) { return to_string(milliseconds{value}); },
            {},
            false,
            duration_schema()};
}

Form<Rate> rate() {
    return {"a number per second, minute or hour such as 20/s, 600/m or 5/h, or off",
            [](const std::string& text) -> std::optional<Rate> {
                if (text == "off") return Rate{};
                const auto slash = text.find('/');
                const auto many = integer_from(std::string_view{text}.substr(0, slash));
                if (slash == std::string::npos || slash + 2 != text.size() || !many || *many < 1 || *many > 1'000'000)
                    return std::nullopt;
                const auto count = static_cast<unsigned>(*many);
                switch (text.back()) {
                    case 's': return Rate{count, 1s};
                    case 'm': return Rate{count, 60s};
                    case 'h': return Rate{count, 3600s};
                    default: return std::nullopt;
                }
            },
            [](const Rate& value) {
                if (value.count == 0) return std::string{"off"};
                return decimal(value.count) + (value.per == 1s ? "/s" : value.per == 60s ? "/m" : "/h");
            },
            {"off"},
            false,
            schema::matching("^([1-9][0-9]*/[smh]|off)$")};
}

Form<std::uint64_t> size(std::uint64_t min, std::uint64_t max) {
    return {"a size with its unit (B, KiB, MiB, GiB) from " + size_to_string(min) + " to " + size_to_string(max),
            [min, max](const std::string& text) {
                const auto value = size_from(text);
                return value && *value >= min && *value <= max ? value : std::nullopt;
            },
            [](const std::uint64_t& value) { return size_to_string(value); },
            {},
            false,
            min > 0 ? schema::matching("^[0-9]+(B|KiB|MiB|GiB)$")
                    : R"("type": ["string", "integer"], "pattern": "^([0-9]+(B|KiB|MiB|GiB)|0)$", "minimum": 0, )"
                      R"("maximum": 0)"};
}

Form<std::uint64_t> size_or_unlimited(std::uint64_t max) {
    Form<std::uint64_t> form = size(0, max);
    form.wanted = "a size with its unit (B, KiB, MiB, GiB) up to " + size_to_string(max) + ", or 0 for unlimited";
    return form;
}

Form<std::uint64_t> size_or_zero(std::uint64_t min, std::uint64_t max) {
    Form<std::uint64_t> form = size(0, max);
    form.wanted =
        "a size with its unit (B, KiB, MiB, GiB) from " + size_to_string(min) + " to " + size_to_string(max) + ", or 0";
    form.read = [min, plain = form.read](const std::string& text) {
        const auto value = plain(text);
        return value && (*value == 0 || *value >= min) ? value : std::nullopt;
    };
    return form;
}

Form<std::uint64_t> count64(std::uint64_t min, std::uint64_t max) { return number(min, max, "a whole number"); }
Form<unsigned> count(unsigned min, unsigned max) { return number(min, max, "a whole number"); }
Form<int> integer(int min, int max) { return number(min, max, "a whole number"); }

Form<unsigned> percent(unsigned min, unsigned max) {
    Form<unsigned> form = number(min, max, "percent");
    form.wanted = "percent from " + decimal(min) + "% to " + decimal(max) + '%';
    form.read = [plain = form.read](const std::string& text) {
        return plain(text.ends_with('%') ? text.substr(0, text.size() - 1) : text);
    };
    form.print = [](const unsigned& value) { return decimal(value) + '%'; };
    form.schema = R"("type": ["integer", "string"], "pattern": "^[0-9]+%?$", "minimum": )" + decimal(min) +
                  R"(, "maximum": )" + decimal(max);
    return form;
}

Form<double> degrees(double limit) {
    const std::string text_limit = std::to_string(static_cast<std::int64_t>(limit));
    return {"degrees from -" + text_limit + " to " + text_limit,
            [limit](const std::string& text) -> std::optional<double> {
                double value = 0;
                const char* end = text.data() + text.size();
                const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
                if (error != std::errc{} || stop != end || !std::isfinite(value) || std::abs(value) > limit)
                    return std::nullopt;
                return value;
            },
            decimal<double>,
            {},
            false,
            R"("type": "number", "minimum": -)" + text_limit + R"(, "maximum": )" + text_limit};
}

Form<double> bound() {
    Form<double> form = degrees(1e15);
    form.wanted = "a number";
    form.print = [](const double& value) {
        std::array<char, 64> text{};
        return std::string(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
    };
    form.schema = R"("type": "number")";
    return form;
}

/// YAML 1.1's on/off/yes/no are not taken: one spelling.
Form<bool> flag() { return with(R"("type": "boolean")", choice<bool>({{"true", true}, {"false", false}})); }

Form<std::pair<unsigned, unsigned>> statuses() {
    return {"a status from 100 to 599 or a range such as 200-299",
            statuses_from,
            [](const std::pair<unsigned, unsigned>& range) {
                return range.first == range.second ? decimal(range.first)
                                                   : decimal(range.first) + '-' + decimal(range.second);
            },
            {},
            false,
            R"("type": ["integer", "string"], "minimum": 100, "maximum": 599, )"
            R"("pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$")"};
}

}  // namespace nearhop::conf
