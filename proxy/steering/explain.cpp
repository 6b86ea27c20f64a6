#include "proxy/steering/explain.h"

#include "health/describe.h"
#include "proxy/steering/rules.h"
#include "proxy/wire/json_text.h"

#include <boost/json.hpp>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace nearhop::steering {
namespace {

namespace json = boost::json;

std::string_view name(conf::Policy policy) noexcept {
    switch (policy) {
        case conf::Policy::nearest: return "nearest";
        case conf::Policy::country: return "country";
        case conf::Policy::failover: return "failover";
        case conf::Policy::latency: return "latency";
    }
    return "?";
}

std::string_view name(conf::AllDown all_down) noexcept { return all_down == conf::AllDown::open ? "open" : "closed"; }

health::OriginHealth health_of(OriginId id, const health::Table& health) {
    return id < health.origins.size() ? health.origins[id] : health::OriginHealth{};
}

/// The name of the place: country, else continent, else "point" for bare coordinates, else "-".
std::string_view place_text(const geo::Place& place) noexcept {
    if (place.country) return place.country->text();
    if (place.continent) return geo::code(*place.continent);
    return place.point ? "point" : "-";
}

std::string fixed(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
}

bool is_chosen(const Decision& decision, OriginId id) noexcept {
    const auto chosen = decision.chosen();
    return std::any_of(chosen.begin(), chosen.end(), [id](const Considered& origin) { return origin.id == id; });
}

void pad(std::string& line, std::size_t width) {
    if (line.size() < width) line.append(width - line.size(), ' ');
    line += "  ";
}

/// Strings from a request may hold any bytes; JSON has to be UTF-8. Not to be read back: for people and logs.
std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f) {
            out += c;
            continue;
        }
        char escaped[5];
        std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
        out += escaped;
    }
    return out;
}

/// Calls `use(name)` for each check that fails.
template <class Use>
void for_each_failing(const OriginTable& origin, health::CheckSet failing, Use use) {
    for (std::size_t i = 0; i < origin.checks.size(); ++i)
        if ((failing >> i & 1u) != 0) use(origin.checks[i].name);
}

std::string verdict_text(const OriginTable& origin, const health::OriginHealth& seen) {
    const health::State& state = seen.state;
    std::string text{health::name(state.verdict)};
    if (state.ejected) text += ", ejected";
    if (state.draining) text += ", draining";
    if (state.agent != health::Agent::none) text += ", by its own report " + std::string{health::name(state.agent)};
    for_each_failing(origin, seen.failing, [&](const std::string& name) { text += ", " + printable(name) + " fails"; });
    if (state.reason != health::Reason::none && state.reason != health::Reason::passed)
        text += " (" + health::reason_text(state) + ")";
    return text;
}

void append_origin(std::string& out, std::string_view mark, std::size_t width, const Considered& origin,
                   const Table& table, const health::Table& health, bool is_first = false) {
    const OriginTable& known = table.origins[origin.id];
    const auto seen = health_of(origin.id, health);
    std::string line{"   "};
    line += mark;
    line += known.name;
    pad(line, 6 + width);
    line += origin.km < 0 ? "distance unknown" : std::to_string(origin.km) + " km";
    pad(line, 6 + width + 18);
    line += seen.rtt_ms >= 0 ? fixed(seen.rtt_ms) + " ms" : "not measured";
    pad(line, 6 + width + 34);
    line += verdict_text(known, seen);
    line += "\n         ";
    line += name(origin.reason);
    line += ": ";
    line += describe(origin.reason, is_first);
    out += line + "\n";
}

/// A question may name a place and no client.
bool is_known(const geo::Address& client) noexcept { return !(client == geo::Address{}); }

void append_place(std::string& out, const Located& located) {
    const geo::Place& place = located.place;
    out += "1. client: " + (is_known(located.client) ? located.client.text() : "-") + "\n2. place: ";
    out += place_text(place);
    if (place.subdivision[0] != '\0') out += std::string{"-"} + place.subdivision;
    out += " (source ";
    out += geo::name(place.source);
    out += ", level ";
    out += geo::name(place.level);
    if (place.low_confidence) out += ", only where the network is registered";
    if (place.override_index) out += ", with the override's own order of origins";
    out += ")\n";
    if (located.disagreement) out += "   the database says another country; the header wins\n";
    if (located.bad_viewer_field) out += "   a viewer field was malformed or repeated, and ignored\n";
}

void append_site(std::string& out, const Explanation& what, const Table& table) {
    const SiteTable& site = table.sites[what.decision.site];
    const RouteTable& route = site.routes[what.decision.route];
    out += "3. site: " + site.name + ", route: " + route.path_prefix;
    for (std::size_t i = 0; i < route.methods.size(); ++i) out += (i == 0 ? " for " : " ") + route.methods[i];
    out += "\n4. may serve: ";
    std::size_t allowed = 0;
    for (const Considered& origin : what.decision.all()) {
        if (is_forbidden(origin.reason)) continue;
        out += (allowed++ == 0 ? "" : ", ") + table.origins[origin.id].name;
    }
    out += allowed == 0 ? "nobody\n" : "\n";
    out += "5. policy: ";
    out += name(site.policy);
    const auto* row = row_for(site, what.located.place);
    if (site.unlocated && row == &*site.unlocated)
        out += site.unlocated->nearest_to_edge ? "; the client's place is unknown: nearest to the edge (unlocated)"
                                               : "; the client's place is unknown: the order of unlocated";
    const FirstChoice& first = what.decision.first;
    out += "; its first choice: " + table.origins[first.id].name;
    if (first.passed_over) {
        out += ", passed over: ";
        out += name(*first.passed_over);
    }
    out += "\n6. when all are down: ";
    out += name(site.all_down);
    out += "\n";
}

/// What the first choice is asked for, and by which name its certificate is judged.
void append_names(std::string& out, const Explanation& what, const Table& table) {
    const auto chosen = what.decision.chosen();
    if (chosen.empty()) return;
    const OriginTable& first = table.origins[chosen.front().id];
    const std::string& rule = table.sites[what.decision.site].host_header;
    const std::string& sent = rule == "client"        ? what.host
                              : rule == "origin"      ? first.host
                              : rule == "server_name" ? first.server_name
                                                      : rule;
    const std::string& shown = first.follows_host && !sent.empty() ? sent : first.server_name;
    out += "names: Host " + (sent.empty() ? "-" : sent) + ", certificate " + (shown.empty() ? "-" : shown) + "\n";
}

json::object origin_json(const Considered& origin, const Table& table, const health::Table& health) {
    const auto seen = health_of(origin.id, health);
    const OriginTable& known = table.origins[origin.id];
    json::array failing;
    for_each_failing(known, seen.failing, [&](const std::string& check) { failing.emplace_back(printable(check)); });
    return {{"origin", known.name},
            {"reason", name(origin.reason)},
            {"km", origin.km < 0 ? json::value(nullptr) : json::value(origin.km)},
            {"rtt_ms", wire::measured(seen.rtt_ms)},
            {"verdict", health::name(seen.state.verdict)},
            {"ejected", seen.state.ejected},
            {"draining", seen.state.draining},
            {"agent", health::name(seen.state.agent)},
            {"override", health::name(seen.state.order)},
            {"failing_checks", std::move(failing)},
            {"region", known.region},
            {"host", known.host},
            {"server_name", known.follows_host ? json::value("host") : json::value(known.server_name)}};
}

json::object place_json(const Located& located) {
    const geo::Place& place = located.place;
    json::object out{{"client", nullptr},
                     {"country", nullptr},
                     {"subdivision", nullptr},
                     {"continent", nullptr},
                     {"source", geo::name(place.source)},
                     {"level", geo::name(place.level)},
                     {"low_confidence", place.low_confidence},
                     {"override", place.override_index.has_value()},
                     {"disagreement", located.disagreement},
                     {"bad_viewer_field", located.bad_viewer_field}};
    if (is_known(located.client)) out["client"] = located.client.text();
    if (place.country) out["country"] = place.country->text();
    if (place.subdivision[0] != '\0') out["subdivision"] = place.subdivision;
    if (place.continent) out["continent"] = geo::code(*place.continent);
    return out;
}

}  // namespace

std::string explain_text(const Explanation& what, const Table& table, const health::Table& health) {
    std::string out = printable(what.method) + " " + printable(what.host) + " " + printable(what.path) + "\n";
    append_place(out, what.located);
    if (!what.site_found) return out + "3. site: none has this host name, and there is no default site\n";
    if (!what.refused.empty()) return out + "3. refused with 400, " + what.refused + "\n";
    append_site(out, what, table);

    std::size_t width = 0;
    for (const Considered& origin : what.decision.all()) width = std::max(width, table.origins[origin.id].name.size());
    out += what.decision.candidate_count == 0 ? "7. candidates: none\n" : "7. candidates, first choice first:\n";
    unsigned place = 0;
    for (const Considered& origin : what.decision.chosen()) {
        ++place;
        append_origin(out, std::to_string(place) + ". ", width, origin, table, health, place == 1);
    }
    append_names(out, what, table);
    bool heading = false;
    for (const Considered& origin : what.decision.all()) {
        if (is_chosen(what.decision, origin.id)) continue;
        if (!std::exchange(heading, true)) out += "others:\n";
        append_origin(out, "-  ", width, origin, table, health);
    }
    return out;
}

std::string explain_json(const Explanation& what, const Table& table, const health::Table& health) {
    json::object out{{"host", printable(what.host)},
                     {"path", printable(what.path)},
                     {"method", printable(what.method)},
                     {"place", place_json(what.located)},
                     {"site", nullptr},
                     {"route", nullptr},
                     {"refused", nullptr},
                     {"candidates", json::array{}},
                     {"others", json::array{}}};
    if (!what.refused.empty()) out["refused"] = what.refused.substr(0, what.refused.find(':'));
    if (what.site_found && what.refused.empty()) {
        const SiteTable& site = table.sites[what.decision.site];
        out["site"] = site.name;
        out["route"] = site.routes[what.decision.route].path_prefix;
        out["policy"] = name(site.policy);
        out["all_down"] = name(site.all_down);
        out["host_header"] = site.host_header;
        const FirstChoice& first = what.decision.first;
        out["first_choice"] = table.origins[first.id].name;
        out["passed_over"] = first.passed_over ? json::value(name(*first.passed_over)) : json::value(nullptr);
        out["unlocated"] = site.unlocated && row_for(site, what.located.place) == &*site.unlocated;
        for (const Considered& origin : what.decision.chosen())
            out["candidates"].as_array().push_back(origin_json(origin, table, health));
        for (const Considered& origin : what.decision.all())
            if (!is_chosen(what.decision, origin.id))
                out["others"].as_array().push_back(origin_json(origin, table, health));
    }
    return wire::json_text(out);
}

void append_decision_field(std::string& out, const Table& table, const Considered& served, const geo::Place& place,
                           unsigned attempts, const FirstChoice& first) {
    char count[12];
    const int length = std::snprintf(count, sizeof count, "%u", attempts);
    out.append("origin=").append(table.origins[served.id].name);
    out.append("; reason=").append(name(served.reason));
    out.append("; place=").append(place_text(place)).append("/").append(geo::name(place.source));
    out.append("; attempts=").append(count, static_cast<std::size_t>(length));
    out.append("; first_choice=").append(table.origins[first.id].name);
    if (first.passed_over) out.append("; passed_over=").append(name(*first.passed_over));
}

}  // namespace nearhop::steering
