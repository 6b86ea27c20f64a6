#pragma once

#include "conf/parse.h"
#include "proxy/steering/decision.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

/// A small world for steering tests: origins by region name, sites as the operator would write them, verdicts by hand.
namespace nearhop::steering::test {

inline geo::Country country(std::string_view code) { return geo::Country::parse(code).value(); }
inline geo::Place from(std::string_view code) { return geo::place_of(country(code), geo::Source::header); }

/// A table from YAML, without the parts that steering does not read. Fails the test when there is a problem.
class World {
public:
    /// `sites` is YAML from `origins:` or `sites:` on.
    explicit World(const std::string& yaml) {
        const auto parsed =
            conf::parse("listen: 127.0.0.1:0\ntls: {certificate: c.pem, private_key: k.pem}\n" + yaml, "test.yaml");
        problems = parsed.problems;
        if (!parsed.config) {
            ADD_FAILURE() << all_problems();
            return;
        }
        table = build_table(*parsed.config, problems);
        if (!table) {
            ADD_FAILURE() << all_problems();
            return;
        }
        health.origins.resize(table->origins.size());
        for (auto& origin : health.origins) origin.state.verdict = health::Verdict::up;
    }

    OriginId id(std::string_view name) const {
        for (std::size_t i = 0; i < table->origins.size(); ++i)
            if (table->origins[i].name == name) return static_cast<OriginId>(i);
        ADD_FAILURE() << "no origin " << name;
        return 0;
    }
    Position position(std::string_view name, SiteId site = 0) const {
        if (const auto found = table->sites[site].position_of(id(name))) return *found;
        ADD_FAILURE() << name << " is none of the site's";
        return {};
    }
    health::State& state(std::string_view name) { return health.origins[id(name)].state; }
    void set(std::string_view name, health::Verdict verdict) { state(name).verdict = verdict; }
    void rtt(std::string_view name, double ms) { health.origins[id(name)].rtt_ms = ms; }
    void skip(std::string_view name) { local.skips.set(position(name)); }
    void stall(std::string_view name) {
        skip(name);
        local.stalled.set(position(name));
    }
    void busy(std::string_view name) { local.busy.set(position(name)); }
    void full(std::string_view name) { local.full.set(position(name)); }

    const Decision& ask(const geo::Place& place, std::string_view method = "GET", std::string_view path = "/",
                        SiteId site = 0) {
        decide({.site = site, .method = method, .path = path}, place, *table, health, local, earlier, decision);
        return decision;
    }
    /// "eu-west-1:nearest us-east-1:next_nearest": the candidates.
    std::string candidates(const geo::Place& place, std::string_view method = "GET", std::string_view path = "/",
                           SiteId site = 0) {
        return text(ask(place, method, path, site).chosen());
    }
    /// The same of everything that was considered.
    std::string considered(const geo::Place& place, std::string_view method = "GET", std::string_view path = "/",
                           SiteId site = 0) {
        return text(ask(place, method, path, site).all());
    }

    std::string text(std::span<const Considered> origins) const {
        std::string out;
        for (const Considered& origin : origins)
            out += (out.empty() ? "" : " ") + table->origins[origin.id].name + ":" + std::string{name(origin.reason)};
        return out;
    }
    std::string all_problems() const {
        std::string out;
        for (const auto& problem : problems) out += conf::to_string(problem, "test.yaml") + "\n";
        return out;
    }

    std::shared_ptr<const Table> table;
    health::Table health;
    Local local;
    Earlier earlier;
    Decision decision;
    conf::Problems problems;
};

/// Three regions under the default site.
inline const std::string three =
    "origins:\n"
    "  us-east-1: https://us.example.com\n"
    "  eu-west-1: https://eu.example.com\n"
    "  ap-southeast-1: https://ap.example.com\n";

/// The same with keys of that site.
inline std::string three_with(const std::string& site) { return three + "sites:\n  main:\n    default: true\n" + site; }

}  // namespace nearhop::steering::test
