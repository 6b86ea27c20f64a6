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

/// Of the check in this group; nullopt: it is not there.
std::optional<Finding> look_in(const json::value& group, const conf::Check& rule) noexcept {
    if (group.is_object()) {
        const auto* check = group.get_object().if_contains(rule.name);
        return check ? std::optional{judge(*check, rule)} : std::nullopt;
    }
    std::optional<Finding> worst;
    if (!group.is_array()) return worst;
    for (const auto& each : group.get_array()) {
        const auto* name = each.is_object() ? each.get_object().if_contains("name") : nullptr;
        if (name && name->is_string() && name->get_string() == rule.name)
            worst = worse(worst.value_or(Finding::missing), judge(each, rule));
    }
    return worst;
}

/// In components that have components themselves, as Spring Boot's composites do. As deep as the parser goes.
std::optional<Finding> look_below(const json::object& map, const conf::Check& rule) noexcept {
    std::optional<Finding> worst;
    const auto* components = map.if_contains("components");
    if (!components || !components->is_object()) return worst;
    for (const auto& [name, component] : components->get_object()) {
        if (!component.is_object()) continue;
        const auto& inner = component.get_object();
        const auto* group = inner.if_contains("components");
        auto found = group ? look_in(*group, rule) : std::nullopt;
        if (!found) found = look_below(inner, rule);
        if (found) worst = worse(worst.value_or(Finding::missing), *found);
    }
    return worst;
}

Finding look_for(const json::object& body, const conf::Check& rule) noexcept {
    for (const std::string_view place : {"checks", "components", "entries", "details", "results"})
        if (const auto* group = body.if_contains(place))
            if (const auto found = look_in(*group, rule)) return *found;
    return look_below(body, rule).value_or(Finding::missing);
}

constexpr std::string_view utf8_mark = "\xef\xbb\xbf";
constexpr std::string_view gzip_mark = "\x1f\x8b";

/// Why this body, without a UTF-8 mark, is not looked at; empty: it is.
std::string unreadable(std::string_view body, const BodyKind& kind) {
    if (!kind.coding.empty())
        return "its content is coded (" + shown(kind.coding) + "), although the probe asked for none";
    if (body.starts_with(gzip_mark)) return "it is compressed, although the probe asked for no coding";
    if (kind.json) return {};
    const auto first = body.find_first_not_of(" \t\r\n");
    if (first == body.npos) return "it is empty";
    if (body[first] == '{') return {};
    return kind.type.empty() ? "it has no type and is not a JSON map" : "it is not JSON but " + shown(kind.type);
}

/// Checks that cannot be looked at say nothing, as if they were not there.
BodyReading unread(const BodyRules& rules, std::string why) {
    BodyReading reading;
    reading.findings.read = !rules.checks.empty();
    reading.unread = rules.asked();
    if (reading.unread) reading.detail = "the body was not read: " + std::move(why);
    return reading;
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

BodyReading read_body(std::string_view body, const BodyRules& rules, const BodyKind& kind) {
    BodyReading reading;
    if (!kind.json && !rules.asked()) return reading;
    if (body.starts_with(utf8_mark)) body.remove_prefix(utf8_mark.size());
    if (auto why = unreadable(body, kind); !why.empty()) return unread(rules, std::move(why));
    json::parse_options options;
    options.max_depth = most_depth;
    boost::system::error_code error;
    const json::value value = json::parse(body, error, {}, options);
    if (error || !value.is_object()) {
        const std::string why = error ? error.message() : "the body's JSON is not a map";
        if (!kind.json) return unread(rules, "it begins like JSON but is not (" + why + ')');
        if (rules.checks.empty()) return unread(rules, "it is not a JSON map (" + why + ')');
        reading.reason = Reason::bad_body;
        reading.detail = error ? "the body is declared as JSON: " + why : why;
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
