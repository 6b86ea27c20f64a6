#include "proxy/steering/coverage.h"

#include "geo/catalogue.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <utility>

namespace nearhop::steering {
namespace {

constexpr std::size_t most_examples = 3;

/// "AT, BE, BG and 24 more".
std::string examples(const std::vector<std::string>& all) {
    std::string text;
    const std::size_t shown = all.size() == most_examples + 1 ? all.size() : std::min(all.size(), most_examples);
    for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + all[i];
    return shown == all.size() ? text : text + " and " + std::to_string(all.size() - shown) + " more";
}

std::string names_of(OriginSet origins, const SiteTable& site, const Table& table) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < site.origins.size(); ++i)
        if (origins[static_cast<Position>(i)]) names.push_back(table.origins[site.origins[i]].name);
    return names.empty() ? "none" : examples(names);
}

/// What is written where the row is, its key as the value; null where no row applies.
const conf::At<std::string>* written(const conf::Site& given, const SiteTable& site, const CountryOrder* row) {
    static const conf::At<std::string> unlocated{"unlocated", {}, {}};
    for (std::size_t i = 0; i < site.rows.size(); ++i)
        if (row == &site.rows[i]) return &given.countries[i].key;
    return row == nullptr ? nullptr : &unlocated;
}

Facts facts_of(const Question& question) {
    Facts facts;
    facts.method = question.method;
    return facts;
}

struct Gap {
    std::vector<std::string> methods, paths;  ///< each once
    Question first;
};

Gap gap_of(const SiteTable& site, const ClientGroup& clients) {
    Gap gap;
    const auto note = [](std::vector<std::string>& list, const std::string& text) {
        if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
    };
    for (const Question& question : questions(site)) {
        if (may_serve(site, question, clients).any()) continue;
        if (gap.methods.empty()) gap.first = question;
        note(gap.methods, question.method);
        note(gap.paths, site.routes[question.route].path_prefix);
    }
    return gap;
}

/// What each of the rules allows that together allow nobody.
std::string conflict(const SiteTable& site, const Table& table, const Rules& rules) {
    std::vector<std::string> parts;
    if (rules.by_route != site.members) parts.push_back("the route allows " + names_of(rules.by_route, site, table));
    if (rules.by_write != site.members) parts.push_back("writes goes to " + names_of(rules.by_write, site, table));
    if (rules.by_country != site.members) parts.push_back("the row allows " + names_of(rules.by_country, site, table));
    std::string text;
    for (const auto& part : parts) text += (text.empty() ? "" : ", ") + part;
    return text;
}

void report(const conf::Site& given, const SiteTable& site, const Table& table, const ClientGroup& clients,
            const Gap& gap, conf::Problems& problems) {
    conf::Mark mark = given.mark;
    std::string path = "sites." + given.name;
    if (const auto* row = written(given, site, clients.row)) {
        const bool unlocated = row->path.empty();
        mark = unlocated ? given.unlocated->mark : row->mark;
        path = unlocated ? path + ".unlocated" : row->path;
    } else if (!given.writes.empty()) {
        mark = given.writes.front().mark;
        path = given.writes.front().path;
    }
    const bool warns = given.unserved == conf::Unserved::warning;
    const Facts facts = facts_of(gap.first);
    const Rules rules = rules_for(site, site.routes[gap.first.route], facts, clients.example);
    const std::string whom = clients.names.empty() ? "" : " of " + examples(clients.names);
    problems.push_back({warns ? conf::Severity::warning : conf::Severity::error, mark, path,
                        "no origin may serve " + examples(gap.methods) + whom + " on the route " + examples(gap.paths) +
                            " (" + conflict(site, table, rules) +
                            "): such a request is answered 503; want an origin "
                            "that all of them allow" +
                            (warns ? "" : ", or `unserved: warning` if you mean it")});
}

}  // namespace

std::vector<ClientGroup> client_groups(const SiteTable& site) {
    std::vector<ClientGroup> groups;
    const RouteTable& any_route = site.routes.back();
    const auto add = [&](std::string name, const geo::Place& place) {
        const Rules rules = rules_for(site, any_route, facts_of({0, "GET"}), place);
        auto group =
            std::find_if(groups.begin(), groups.end(), [&](const ClientGroup& each) { return each.row == rules.row; });
        if (group == groups.end()) group = groups.insert(group, {rules.row, {}, place});
        group->names.push_back(std::move(name));
    };
    for (std::size_t i = 0; i < geo::Country::count; ++i) {
        const auto country = geo::Country::from_index(i);
        if (geo::facts(country)) add(std::string{country.text()}, geo::place_of(country, geo::Source::header));
    }
    add("no known place", {});
    for (std::size_t i = 0; i < std::size(site.row_of_continent); ++i) {
        geo::Place place;
        place.continent = static_cast<geo::Continent>(i);
        place.level = geo::Level::continent;
        add("continent:" + std::string{geo::code(*place.continent)}, place);
    }
    if (groups.size() == 1) groups.front().names.clear();  // everybody
    return groups;
}

std::vector<Question> questions(const SiteTable& site) {
    std::vector<Question> all;
    for (std::size_t i = 0; i < site.routes.size(); ++i) {
        const auto route = static_cast<RouteId>(i);
        const RouteTable& entry = site.routes[i];
        const std::vector<std::string> any{"GET", "POST"};  // a safe one, and a write
        for (const std::string& method : entry.methods.empty() ? any : entry.methods)
            if (route_of(site, method, entry.path_prefix, false) == route) all.push_back({route, method});
    }
    return all;
}

OriginSet may_serve(const SiteTable& site, const Question& question, const ClientGroup& clients) {
    return rules_for(site, site.routes[question.route], facts_of(question), clients.example).allowed;
}

void check_unserved(const conf::Config& config, const Table& table, conf::Problems& problems) {
    for (std::size_t id = 0; id < table.sites.size(); ++id)
        for (const ClientGroup& clients : client_groups(table.sites[id]))
            if (const Gap gap = gap_of(table.sites[id], clients); !gap.methods.empty())
                report(config.sites[id], table.sites[id], table, clients, gap, problems);
}

std::string alone_for(OriginId origin, const conf::Config& config, const Table& table) {
    for (std::size_t id = 0; id < table.sites.size(); ++id) {
        const SiteTable& site = table.sites[id];
        const auto position = site.position_of(origin);
        if (!position) continue;
        const auto asked = questions(site);
        for (const ClientGroup& clients : client_groups(site))
            for (const Question& question : asked) {
                const OriginSet allowed = may_serve(site, question, clients);
                if (!allowed[*position] || allowed.count() > 1) continue;
                std::string text = question.method + ' ' + site.routes[question.route].path_prefix + " in site ";
                text += site.name;
                if (const auto* row = written(config.sites[id], site, clients.row)) text += " for row " + **row;
                return text;
            }
    }
    return {};
}

std::string residency_text(const conf::Config& config, const Table& table) {
    std::string text;
    for (std::size_t id = 0; id < table.sites.size(); ++id) {
        const SiteTable& site = table.sites[id];
        const auto asked = questions(site);
        for (const ClientGroup& clients : client_groups(site)) {
            if (clients.row == nullptr || !clients.row->only) continue;
            OriginSet all;
            for (const Question& question : asked) all |= may_serve(site, question, clients);
            const auto* row = written(config.sites[id], site, clients.row);
            text += "  site " + site.name + ", " + **row + " (" +
                    (clients.names.empty() ? "all clients" : examples(clients.names)) +
                    "): " + names_of(all, site, table) + "\n";
        }
    }
    if (text.empty()) return text;
    return "where requests of rows with only: true may go, over every method and route:\n" + text;
}

}  // namespace nearhop::steering
