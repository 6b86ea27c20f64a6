#include "proxy/simulate/read.h"

#include "conf/parse.h"
#include "conf/reader.h"
#include "conf/sections.h"
#include "conf/syntax.h"
#include "conf/tree.h"
#include "geo/catalogue.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace nearhop::simulate {
namespace {

using conf::Field;
using conf::Form;
using conf::Keys;
using namespace std::chrono_literals;

constexpr std::uint64_t most_requests = 5'000'000;  ///< each is kept until the end: 40 bytes

std::vector<std::string> site_names(const conf::Config& config) {
    std::vector<std::string> names;
    names.reserve(config.sites.size());
    for (const auto& site : config.sites) names.push_back(site.name);
    return names;
}

Form<Group> group_form(const conf::Config& config) {
    return {"a country such as DE, a group such as eu, continent:EU or all",
            [&config](const std::string& text) { return group_from(text, config); },
            [](const Group& group) { return group.name; }, group_names(config)};
}

/// The form of `limits.rate`, but traffic that is off is none.
Form<conf::Rate> traffic_rate() {
    auto form = conf::rate();
    form.wanted = "a number per second, minute or hour such as 20/s, 600/m or 5/h";
    form.read = [read = std::move(form.read)](const std::string& text) {
        const auto rate = read(text);
        return rate && rate->count > 0 ? rate : std::nullopt;
    };
    form.known.clear();
    return form;
}

Form<Trouble> trouble_form() {
    return conf::choice<Trouble>({{"none", Trouble::none},
                                  {"refused", Trouble::refused},
                                  {"unreachable", Trouble::unreachable},
                                  {"blackhole", Trouble::blackhole},
                                  {"reset", Trouble::reset},
                                  {"hang", Trouble::hang},
                                  {"errors", Trouble::errors},
                                  {"slow", Trouble::slow},
                                  {"latency", Trouble::latency}});
}

class ScenarioReader {
public:
    ScenarioReader(conf::Reader& reader, const std::string& file, std::vector<FileProblem>& foreign)
        : reader_{reader}, foreign_{foreign} {
        scenario_.file = file;
    }

    Scenario read(const conf::Tree& tree) {
        Field{reader_, tree, {}, conf::Mark{1, 1}}.map([&](Keys& top) {
            read_config(top);
            top.value("seed", scenario_.seed, conf::count64(0, 1'000'000'000'000));
            has_end_ =
                top.value("duration", scenario_.duration, conf::duration(1s, 24h)) || !top.at("duration").written();
            top.value("interval", scenario_.interval, conf::duration(100ms, 24h));
            top.value("workers", scenario_.workers, conf::count(1, 256));
            // Names mean something only in a configuration that could be read.
            for (const char* key : {"edge", "origins", "traffic", "events", "assert"}) top.at(key);
            if (!scenario_.table) return;
            top.value("edge", edge_, conf::country());
            read_traffic(top);
            read_origins(top);
            read_events(top);
            read_asserts(top);
        });
        return std::move(scenario_);
    }

private:
    void read_config(Keys& top) {
        const Field field = top.at("config");
        if (field.missing("a configuration, or the name of a file with one")) return;
        conf::Problems problems;
        std::string file = scenario_.file;
        if (field.is(conf::Tree::Kind::map)) {
            const auto before = reader_.problems.size();
            field.map([&](Keys& keys) { conf::read_config(keys, scenario_.config); });
            if (reader_.problems.size() > before && conf::has_errors(reader_.problems)) return;
            scenario_.table = steering::build_table(scenario_.config, problems);
            for (auto& problem : problems) {
                // Values that were read know where they stand; what was made of them is named as in a file of its own.
                if (!problem.path.starts_with("config")) problem.path = "config." + problem.path;
                reader_.problems.push_back(std::move(problem));
            }
            return;
        }
        if (!field.into(file, conf::file_name())) return;
        file = conf::resolved(reader_, file);
        auto parsed = conf::parse_file(file);
        problems = std::move(parsed.problems);
        if (parsed.config) {
            scenario_.config = std::move(*parsed.config);
            scenario_.table = steering::build_table(scenario_.config, problems);
        }
        if (conf::has_errors(problems)) field.error("the configuration has problems");
        for (auto& problem : problems) foreign_.push_back({file, std::move(problem)});
    }

    void read_traffic(Keys& top) {
        const Field field = top.at("traffic");
        if (field.missing("a list of maps with countries and a rate")) return;
        std::uint64_t requests = 0;
        field.items("maps with countries and a rate", [&](const Field& item) {
            Traffic traffic;
            item.map([&](Keys& keys) { read_traffic_row(keys, traffic); });
            requests += static_cast<std::uint64_t>(traffic.rate.count) *
                        static_cast<std::uint64_t>(scenario_.duration / traffic.rate.per) * (traffic.repeats + 1);
            scenario_.traffic.push_back(std::move(traffic));
        });
        if (requests > most_requests)
            field.error("want at most " + std::to_string(most_requests) + " requests in all, found about " +
                        std::to_string(requests));
    }

    void read_traffic_row(Keys& keys, Traffic& traffic) {
        std::vector<Group> groups;
        const auto& config = scenario_.config;
        if (!keys.at("countries").missing("a list of countries or groups"))
            keys.list("countries", groups, group_form(config), 1);
        for (const Group& group : groups) {
            traffic.label += (traffic.label.empty() ? "" : " ") + group.name;
            traffic.countries.insert(traffic.countries.end(), group.countries.begin(), group.countries.end());
        }
        keys.value("clients", traffic.clients, conf::count(1, 1'000'000));
        keys.required("rate", traffic.rate, traffic_rate());
        keys.value("writes", traffic.writes, conf::percent(0, 100));
        keys.value("puts", traffic.puts, conf::percent(0, 100));
        if (traffic.writes + traffic.puts > 100) keys.at("puts").error("want writes and puts together at most 100%");
        keys.value("keys", traffic.keys, conf::percent(0, 100));
        keys.value("repeats", traffic.repeats, conf::count(0, 10));
        keys.value("repeat_after", traffic.repeat_after, conf::duration(0ms, 1h));
        if (traffic.keys > 0 && traffic.writes == 0) keys.at("keys").error("want `writes`: keys belong to POST");
        if (traffic.repeats == 0 && keys.at("repeat_after").written()) keys.at("repeat_after").error("want `repeats`");
        std::string site = config.sites.front().name;
        for (const auto& each : config.sites)
            if (each.is_default) site = each.name;
        const auto names = site_names(config);
        keys.value("site", site, conf::one_of_names("a site's name", names));
        traffic.site = static_cast<steering::SiteId>(std::find(names.begin(), names.end(), site) - names.begin());
        keys.value("path", traffic.path, conf::prefix());
    }

    void read_origins(Keys& top) {
        const auto names = conf::names_of(scenario_.config.origins);
        for (std::size_t id = 0; id < names.size(); ++id)
            scenario_.origins.push_back({.rtt = distance_model(static_cast<geo::OriginId>(id))});
        top.at("origins").entries("a map of origin names", "NAME", [&](const std::string& name, const Field& field) {
            const auto found = std::find(names.begin(), names.end(), name);
            if (found == names.end()) {
                const std::string near = conf::near_miss(name, names);
                field.error_at(field.key_mark(),
                               "unknown origin" + (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
                return;
            }
            auto& model = scenario_.origins[static_cast<std::size_t>(found - names.begin())];
            field.map([&](Keys& keys) {
                keys.value("rtt", model.rtt, conf::duration(1ms, 10s));
                keys.value("noise", model.noise, conf::percent(0, 90));
                keys.value("answer", model.answer, conf::duration(0ms, 10s));
                keys.value("addresses", model.addresses, conf::count(1, 16));
            });
        });
    }

    /// Of a round trip from where the edge is: where it says, else where its first clients are.
    milliseconds distance_model(geo::OriginId id) const {
        auto country = geo::Country::parse(edge_);
        if (!country && !scenario_.traffic.empty() && !scenario_.traffic.front().countries.empty())
            country = scenario_.traffic.front().countries.front();
        const auto* facts = country ? geo::facts(*country) : nullptr;
        const auto& point = scenario_.table->origins[id].point;
        if (!facts || !point) return OriginModel{}.rtt;
        return milliseconds{static_cast<int>(geo::model_rtt_ms(geo::distance_km(facts->point, *point)))};
    }

    void read_events(Keys& top) {
        top.at("events").items("maps with at, origin and fault", [&](const Field& item) {
            Event event;
            item.map([&](Keys& keys) { read_event(keys, event); });
            scenario_.events.push_back(std::move(event));
        });
        std::stable_sort(scenario_.events.begin(), scenario_.events.end(),
                         [](const Event& a, const Event& b) { return a.at < b.at; });
    }

    void read_event(Keys& keys, Event& event) {
        if (keys.required("at", event.at, conf::duration(0ms, 24h)) && has_end_ && event.at >= scenario_.duration)
            keys.at("at").error("want a time before the end of the scenario, found " + conf::to_string(event.at) +
                                " in a duration of " + conf::to_string(scenario_.duration));
        std::vector<std::string> names = conf::names_of(scenario_.config.origins);
        std::vector<std::string> chosen;
        auto known = names;
        known.insert(known.end(), {"all", "control", "edge"});
        if (!keys.at("origin").missing("an origin's name, a list of them, all, control or edge"))
            keys.list("origin", chosen, conf::one_of_names("an origin's name, all, control or edge", known), 1);
        const auto has = [&](std::string_view name) {
            return std::find(chosen.begin(), chosen.end(), name) != chosen.end();
        };
        for (std::size_t id = 0; id < names.size(); ++id)
            if (has(names[id]) || has("all") || has("edge")) event.origins.push_back(static_cast<geo::OriginId>(id));
        event.control = has("control") || has("edge");
        if (event.control && scenario_.config.isolation.control.empty())
            keys.at("origin").error("the configuration has no isolation.control");

        auto& fault = event.fault;
        keys.required("fault", fault.trouble, trouble_form());
        keys.value("address", event.address, conf::count(1, 16));
        for (const geo::OriginId id : event.origins)
            if (event.address > scenario_.origins[id].addresses)
                keys.at("address").error("origin " + names[id] + " has " +
                                         std::to_string(scenario_.origins[id].addresses) +
                                         " in this scenario: want its `addresses` under `origins`");
        keys.value("share", fault.share, conf::percent(1, 100));
        keys.value("delay", fault.delay, conf::duration(1ms, 1h));
        keys.value("every", event.every, conf::duration(100ms, 24h));
        keys.value(
            "hits", fault.hits,
            conf::choice<Fault::Hits>(
                {{"all", Fault::Hits::all}, {"requests", Fault::Hits::requests}, {"probes", Fault::Hits::probes}}));
        const bool delays = fault.trouble == Trouble::slow || fault.trouble == Trouble::latency;
        const bool shares = fault.trouble == Trouble::slow || fault.trouble == Trouble::errors;
        if (delays) keys.at("delay").missing("a duration");
        if (!delays && keys.at("delay").written()) keys.at("delay").error("belongs to the faults slow and latency");
        if (!shares && keys.at("share").written()) keys.at("share").error("belongs to the faults errors and slow");
    }

    void read_asserts(Keys& top) {
        top.at("assert").items("sentences", [&](const Field& item) {
            const auto text = item.read(conf::any_text());
            if (!text) return;
            std::string problem;
            if (auto condition = parse_condition(*text, scenario_.config, problem))
                scenario_.conditions.push_back(std::move(*condition));
            else
                item.error(problem);
        });
    }

    conf::Reader& reader_;
    std::vector<FileProblem>& foreign_;
    Scenario scenario_;
    std::string edge_;
    bool has_end_ = false;  ///< its duration could be read, or is the default
};

/// A configuration inside a scenario needs no listener: nobody connects.
void add_listener(conf::Tree& tree) {
    for (conf::Tree& item : tree.items) {
        if (item.key != "config" || item.kind != conf::Tree::Kind::map) continue;
        if (item.find("listen") || item.find("listeners")) return;
        const auto text = [](const char* key, const char* value) {
            conf::Tree leaf;
            leaf.kind = conf::Tree::Kind::text;
            leaf.key = key;
            leaf.text = value;
            return leaf;
        };
        conf::Tree listener;
        listener.kind = conf::Tree::Kind::map;
        listener.items = {text("address", "127.0.0.1:0"), text("protocol", "http"), text("plain", "serve")};
        conf::Tree listeners;
        listeners.kind = conf::Tree::Kind::list;
        listeners.key = "listeners";
        listeners.items.push_back(std::move(listener));
        item.items.push_back(std::move(listeners));
        return;
    }
}

}  // namespace

ReadResult read_scenario(std::string_view yaml, const std::string& file) {
    conf::Reader reader;
    reader.folder = std::filesystem::path{file}.parent_path().string();
    ReadResult result;
    conf::Tree tree = conf::read_tree(yaml, reader.problems);
    std::optional<Scenario> scenario;
    if (tree.kind != conf::Tree::Kind::refused) {
        add_listener(tree);
        scenario = ScenarioReader{reader, file, result.problems}.read(tree);
    }
    std::stable_sort(reader.problems.begin(), reader.problems.end(), conf::earlier);
    if (!conf::has_errors(reader.problems)) result.scenario = std::move(scenario);
    for (auto& problem : reader.problems) result.problems.push_back({file, std::move(problem)});
    return result;
}

ReadResult read_scenario_file(const std::string& file) {
    conf::Problems problems;
    const auto yaml = conf::read_text(file, problems);
    if (yaml) return read_scenario(*yaml, file);
    return {std::nullopt, {{file, problems.front()}}};
}

}  // namespace nearhop::simulate
