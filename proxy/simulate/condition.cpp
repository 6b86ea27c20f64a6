#include "proxy/simulate/condition.h"

#include "conf/parse.h"
#include "conf/syntax.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

/// The grammar is in condition.h; one function for each line of it.
namespace nearhop::simulate {
namespace {

using Measure = Condition::Measure;
using Comparison = Condition::Comparison;

/// Thrown inside this file only, and caught where the sentence began.
struct Refused {
    std::string why;
};

std::optional<double> number_from(std::string_view text) {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
    if (error != std::errc{} || stop != end || value < 0 || value > 1e12) return std::nullopt;
    return value;
}

class Reader {
public:
    Reader(const std::string& text, const conf::Config& config) : config_{config} {
        std::size_t at = 0;
        while ((at = text.find_first_not_of(' ', at)) != std::string::npos) {
            const std::size_t end = std::min(text.find(' ', at), text.size());
            words_.push_back(text.substr(at, end - at));
            at = end;
        }
        condition_.text = text;
    }

    Condition read() {
        measure();
        comparison();
        value();
        when();
        if (next_ != words_.size())
            refuse("the end, or after, before or from with a time", {"after", "before", "from"});
        return std::move(condition_);
    }

private:
    [[noreturn]] void refuse(const std::string& wanted, const std::vector<std::string>& known = {}) const {
        std::string why = "want " + wanted;
        if (next_ > 0) why += " behind \"" + words_[next_ - 1] + '"';
        if (next_ == words_.size()) throw Refused{why + ", found nothing"};
        why += ", found " + conf::shown(words_[next_]);
        if (const std::string near = conf::near_miss(words_[next_], known); !near.empty())
            why += "; did you mean \"" + near + "\"?";
        throw Refused{why};
    }
    bool is(std::string_view word) const { return next_ < words_.size() && words_[next_] == word; }
    bool take(std::string_view word) {
        if (!is(word)) return false;
        ++next_;
        return true;
    }
    void expect(const std::string& word) {
        if (!take(word)) refuse(word, {word});
    }

    void measure() {
        if (take("share")) {
            condition_.measure = Measure::share;
            expect("of");
            group();
            expect("clients");
            expect("on");
            origin();
        } else if (take("rate")) {
            condition_.measure = Measure::rate;
            expect("on");
            origin();
        } else if (take("switches")) {
            condition_.measure = Measure::switches;
            expect("of");
            group();
            take("clients");
        } else if (take("double")) {
            condition_.measure = Measure::double_executions;
            expect("executions");
        } else if (take("slowest")) {
            condition_.measure = Measure::slowest;
            expect("request");
            of();
        } else if (take("moved")) {
            condition_.measure = Measure::moved;
            expect("requests");
            of();
        } else if (take("hedged")) {
            condition_.measure = Measure::hedged;
            expect("requests");
            of();
        } else if (take("errors")) {
            condition_.measure = Measure::errors;
            of();
        } else if (take("requests")) {
            condition_.measure = Measure::requests;
            if (take("slower")) {
                condition_.measure = Measure::slower;
                expect("than");
                condition_.slower_than = time();
            }
            of();
        } else {
            refuse("a measure: share, errors, requests, slowest, switches, rate, moved, hedged or double",
                   {"share", "errors", "requests", "slowest", "switches", "rate", "moved", "hedged", "double"});
        }
    }

    void of() {
        if (!take("of")) return;
        for (const Method method : {Method::get, Method::put, Method::post})
            if (take(name(method))) {
                condition_.method = method;
                return;
            }
        group();
        take("clients");
    }

    void group() {
        const auto found = next_ < words_.size() ? group_from(words_[next_], config_) : std::nullopt;
        if (!found) refuse("a country such as DE, a group such as eu, continent:EU or all", group_names(config_));
        condition_.group = found;
        ++next_;
    }

    void origin() {
        std::vector<std::string> names;
        names.reserve(config_.origins.size());
        for (const auto& each : config_.origins) names.push_back(each.name);
        const auto found = next_ < words_.size() ? std::find(names.begin(), names.end(), words_[next_]) : names.end();
        if (found == names.end()) refuse("an origin's name", names);
        condition_.origin = static_cast<geo::OriginId>(found - names.begin());
        ++next_;
    }

    void comparison() {
        constexpr std::pair<std::string_view, Comparison> all[] = {{"<=", Comparison::at_most},
                                                                   {">=", Comparison::at_least},
                                                                   {"<", Comparison::below},
                                                                   {">", Comparison::above},
                                                                   {"=", Comparison::equal}};
        for (const auto& [sign, comparison] : all)
            if (take(sign)) {
                condition_.comparison = comparison;
                return;
            }
        refuse("<=, >=, <, > or =");
    }

    void value() {
        if (condition_.measure == Measure::slowest) {
            condition_.value = std::chrono::duration<double>{time()}.count();
            return;
        }
        const bool percent = condition_.measure == Measure::share;
        const bool rate = condition_.measure == Measure::rate;
        std::string_view text = next_ < words_.size() ? std::string_view{words_[next_]} : std::string_view{};
        if (percent && text.ends_with('%')) text.remove_suffix(1);
        if (rate && text.ends_with("/s")) text.remove_suffix(2);
        const auto number = number_from(text);
        if (!number || (percent && *number > 100))
            refuse(percent ? "percent from 0 to 100" : rate ? "a number per second, such as 60/s" : "a number");
        condition_.value = *number;
        ++next_;
    }

    void when() {
        if (take("after")) {
            condition_.from = time();
        } else if (take("before")) {
            condition_.to = time();
        } else if (take("from")) {
            condition_.from = time();
            expect("to");
            condition_.to = time();
            if (condition_.to <= condition_.from) throw Refused{"want a time that ends after it begins"};
        }
    }

    microseconds time() {
        std::string_view text = next_ < words_.size() ? std::string_view{words_[next_]} : std::string_view{};
        if (text.starts_with("t=")) text.remove_prefix(2);
        constexpr std::pair<std::string_view, double> units[] = {{"ms", 1e3}, {"s", 1e6}, {"m", 6e7}, {"h", 3.6e9}};
        for (const auto& [unit, factor] : units) {
            if (!text.ends_with(unit)) continue;
            const auto number = number_from(text.substr(0, text.size() - unit.size()));
            if (!number || *number * factor > 1e15) break;
            ++next_;
            return microseconds{std::llround(*number * factor)};
        }
        refuse("a time with its unit such as 12s, 1.5s, 10m or t=12s");
    }

    const conf::Config& config_;
    std::vector<std::string> words_;
    std::size_t next_ = 0;
    Condition condition_;
};

}  // namespace

std::optional<Condition> parse_condition(const std::string& text, const conf::Config& config, std::string& problem) {
    try {
        return Reader{text, config}.read();
    } catch (const Refused& refused) {
        problem = refused.why;
        return std::nullopt;
    }
}

}  // namespace nearhop::simulate
