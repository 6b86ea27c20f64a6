#include "health/body.h"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace nearhop::health {
namespace {

namespace json = boost::json;

constexpr std::size_t most_depth = 32;
constexpr std::size_t most_shown = 64;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view left, std::string_view right) noexcept {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](char a, char b) { return lower(a) == lower(b); });
}

template <std::size_t Count>
bool is_one_of(std::string_view word, const std::array<std::string_view, Count>& words) noexcept {
    return std::any_of(words.begin(), words.end(), [&](std::string_view known) { return same_word(word, known); });
}

std::string shown(std::string_view text) {
    std::string out{text.substr(0, most_shown)};
    for (char& c : out)
        if (c < ' ' || c > '~') c = '?';
    return out;
}

std::optional<double> number(const json::value& value) noexcept {
    switch (value.kind()) {
        case json::kind::int64: return static_cast<double>(value.get_int64());
        case json::kind::uint64: return static_cast<double>(value.get_uint64());
        case json::kind::double_: return value.get_double();
        default: return std::nullopt;
    }
}

/// missing < ok < warn < fail
Finding worse(Finding a, Finding b) noexcept { return std::max(a, b); }

/// A number of a check: beside its status, or where Spring Boot, MicroProfile and ASP.NET put it.
const json::value* member(const json::object& check, std::string_view name) noexcept {
    if (const auto* own = check.if_contains(name)) return own;
    for (const std::string_view inside : {"details", "data"})
        if (const auto* part = check.if_contains(inside); part && part->is_object())
            if (const auto* own = part->get_object().if_contains(name)) return own;
    return nullptr;
}

/// A bound that cannot be looked at is not kept: a replica whose replication broke has no lag to tell (MySQL's is
/// NULL), and a bare "ok" tells none either.
Finding untold(const conf::Check& rule) noexcept { return rule.max.empty() ? Finding::missing : Finding::fail; }

Finding bounded(const json::object& check, const conf::Check& rule) noexcept {
    Finding worst = Finding::missing;
    for (const auto& [name, most] : rule.max) {
        const auto* found = member(check, name);
        const auto value = found ? number(*found) : std::nullopt;
        worst = worse(worst, value && std::isfinite(*value) && *value <= most ? Finding::ok : Finding::fail);
    }
    return worst;
}

Finding stated(const json::value& status) noexcept {
    if (status.is_bool()) return status.get_bool() ? Finding::ok : Finding::fail;
    if (!status.is_string()) return Finding::missing;  // a map or a list of its own is none: no second step down
    const std::string_view text = status.get_string();
    return text.empty() ? Finding::missing : finding_of(text);
}

Finding judge(const json::value& value, const conf::Check& rule) noexcept {
    if (value.is_object()) {
        const auto& map = value.get_object();
        const auto* status = map.if_contains("status");
        return worse(status ? stated(*status) : Finding::missing, bounded(map, rule));
    }
    if (!value.is_array()) return worse(stated(value), untold(rule));
    Finding worst = Finding::missing;
    bool any = false;
    for (const auto& each : value.get_array()) {
        if (!each.is_object()) continue;
        any = true;
        worst = worse(worst, judge(each, rule));
    }
    return any ? worst : untold(rule);
}

Finding look_for(const json::object& body, const conf::Check& rule) noexcept {
    for (const std::string_view place : {"checks", "components", "entries"}) {
        const auto* checks = body.if_contains(place);
        if (!checks) continue;
        if (checks->is_object()) {
            if (const auto* check = checks->get_object().if_contains(rule.name)) return judge(*check, rule);
        } else if (checks->is_array()) {
            Finding worst = Finding::missing;
            for (const auto& each : checks->get_array()) {
                const auto* name = each.is_object() ? each.get_object().if_contains("name") : nullptr;
                if (name && name->is_string() && name->get_string() == rule.name)
                    worst = worse(worst, judge(each, rule));
            }
            if (worst != Finding::missing) return worst;
        }
    }
    return Finding::missing;
}

}  // namespace

Finding finding_of(std::string_view status) noexcept {
    using namespace std::string_view_literals;
    static constexpr std::array good{"ok"sv,      "pass"sv, "passed"sv, "passing"sv, "up"sv,
                                     "healthy"sv, "true"sv, "alive"sv,  "green"sv,   "available"sv};
    static constexpr std::array fair{"warn"sv, "warning"sv, "degraded"sv, "yellow"sv};
    if (is_one_of(status, good)) return Finding::ok;
    return is_one_of(status, fair) ? Finding::warn : Finding::fail;
}

std::optional<Agent> agent_word(std::string_view value) noexcept {
    for (const Agent word : {Agent::up, Agent::degraded, Agent::drain})
        if (same_word(value, name(word))) return word;
    return std::nullopt;
}

BodyReading read_body(std::string_view body, const BodyRules& rules) {
    BodyReading reading;
    json::parse_options options;
    options.max_depth = most_depth;
    boost::system::error_code error;
    const json::value value = json::parse(body, error, {}, options);
    if (error || !value.is_object()) {
        if (rules.checks.empty()) return reading;  // nothing was asked of it
        reading.reason = Reason::bad_body;
        reading.detail = error ? "the body is declared as JSON: " + error.message() : "the body's JSON is no map";
        return reading;
    }
    const auto& map = value.get_object();
    const auto* region = map.if_contains("region");
    if (region && region->is_string() && !rules.region.empty() && !same_word(region->get_string(), rules.region)) {
        reading.reason = Reason::wrong_region;
        reading.detail = "the body names the region " + shown(region->get_string()) + ", want " + rules.region;
        return reading;  // what another region's checks say is no news of this one
    }
    reading.findings.read = !rules.checks.empty();
    for (std::size_t i = 0; i < rules.checks.size() && i < most_checks; ++i) {
        const auto& rule = rules.checks[i];
        const Finding found = reading.findings.of[i] = look_for(map, rule);
        if (found != Finding::fail || rule.need != conf::Need::down) continue;
        reading.reason = Reason::check_failed;
        reading.detail += (reading.detail.empty() ? "check " : ", ") + shown(rule.name);
    }
    return reading;
}

}  // namespace nearhop::health
