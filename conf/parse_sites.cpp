#include "conf/parse.h"
#include "conf/sections.h"
#include "conf/syntax.h"

#include <algorithm>
#include <map>
#include <set>

/// Sites, their routes and country rows.
namespace nearhop::conf {
namespace {

/// `otherwise`: the reference's word for where defaults come from; empty: a site's own.
void read_exchange_limits(Keys& keys, ExchangeLimits& limits, const std::string& otherwise) {
    keys.value("head_timeout", limits.head_timeout, duration(10ms, 10min), otherwise);
    keys.value("deadline", limits.deadline, duration(10ms, 10min), otherwise);
    keys.value("replay_buffer", limits.replay_buffer, size(0, 1024 * 1024), otherwise);
    keys.value("body_limit", limits.body_limit, size_or_unlimited(1024ULL * 1024 * 1024 * 1024), otherwise,
               "unlimited");
    keys.value("tunnel_idle", limits.tunnel_idle, duration(10ms, 24h), otherwise);
    keys.value("origin_body_timeout", limits.origin_body_timeout, duration(10ms, 24h),
               otherwise.empty() ? "as `limits.origin_body_timeout`" : otherwise);
}

void read_rates(Keys& keys, RateLimit& limit) {
    const std::string burst_default = "the number in the rate";
    const auto read = [&](const std::string& key, Rate& rate, unsigned& burst) {
        const bool changed = keys.value(key, rate, conf::rate());
        const Field field = keys.at(key + "_burst");
        const bool given = keys.value(key + "_burst", burst, count(1, 10'000'000), burst_default);
        if (given && rate.count == 0) field.error("has no meaning without " + key);
        if (changed && !given) burst = rate.count;
    };
    read("address", limit.address, limit.address_burst);
    read("site", limit.site, limit.site_burst);
}

void warn_of_short_deadline(const Field& around, const Failover& failover, const ExchangeLimits& limits) {
    const char* part = *limits.deadline < failover.tls_timeout  ? "failover.tls_timeout"
                       : *limits.deadline < limits.head_timeout ? "head_timeout"
                                                                : nullptr;
    if (!part) return;
    const bool written = limits.deadline.mark.line > 0;
    around.reader().report(Severity::warning, written ? limits.deadline.mark : around.mark(),
                           written ? limits.deadline.path : around.path(),
                           "the deadline (" + to_string(*limits.deadline) + ") is shorter than one attempt may take (" +
                               part + "): it leaves no time for a second origin");
}

void read_countries(Keys& keys, const std::vector<std::string>& origins, Site& site) {
    const Field groups = keys.at("groups");
    std::vector<std::string> own;
    own.reserve(site.origins.size());
    groups.list("a map of group names to lists of countries", "none");
    groups.entries(
        "a map of group names to lists of countries", "GROUP", [&](const std::string& name, const Field& field) {
            const Form<std::string> form = group_name();
            field.list("a list: " + country().wanted, "required", false, schema::list_of(country().schema, 1));
            if (!field.listing() && !form.read(name))
                field.error_at(field.key_mark(), "want " + form.wanted + ", found " + shown(name));
            own.push_back(name);
            field.into_list(site.groups[name], country(), 1);
        });

    const Field countries = keys.at("countries");
    const Form<std::string> origin = one_of_names("an origin's name, one of this site's", origins);
    const Form<std::string> row_key = country_key(own);
    std::set<std::string> seen;
    countries.list("a map, its keys: " + row_key.wanted, "required with `policy: country`");
    countries.entries("a map of countries to origins", "KEY", [&](const std::string& name, const Field& field) {
        CountryRow row;
        field.list("an origin's name, a list of them, or a map with origins", "required", false,
                   schema::list_of(origin.schema, 1));
        const auto key = row_key.read(name);
        if (key) {
            row.key = {*key, field.key_mark(), field.path()};
            if (!seen.insert(*key).second) field.error_at(field.key_mark(), "is a second row for " + *key);
        } else if (!field.listing()) {
            const std::string near = near_miss(name, row_key.known);
            field.error_at(field.key_mark(), "want " + row_key.wanted + ", found " + shown(name) +
                                                 (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
        }
        if (field.is(Tree::Kind::map) || field.listing())
            field.map([&](Keys& own_keys) {
                own_keys.at("origins").missing("a list of origins");
                own_keys.list("origins", row.origins, origin, 1, "required");
                own_keys.value("only", row.only, flag());
            });
        else
            field.into_list(row.origins, origin, 1);
        site.countries.push_back(std::move(row));
    });

    if (site.policy == Policy::country && site.countries.empty())
        countries.error("is missing: want rows of countries for policy: country");
    if (site.policy != Policy::country && countries.written())
        countries.warning("has no effect without policy: country");
}

void read_unlocated(Keys& keys, const std::vector<std::string>& origins, Site& site) {
    constexpr const char* by_edge = "nearest_to_edge";
    const Field field = keys.at("unlocated");
    std::vector<std::string> words = origins;
    words.emplace_back(by_edge);
    const Form<std::string> origin = one_of_names("an origin's name, one of this site's", origins);
    const Form<std::string> word =
        one_of_names("an origin's name, one of this site's, or nearest_to_edge", std::move(words));
    field.list("nearest_to_edge, an origin's name, a list of them, or a map with origins", "as the policy says", false,
               schema::list_of(word.schema, 1));
    if (!field.written() && !field.listing()) return;
    Unlocated read;
    read.mark = field.mark();
    if (field.is(Tree::Kind::map) || field.listing())
        field.map([&](Keys& own_keys) {
            own_keys.at("origins").missing("a list of origins");
            own_keys.list("origins", read.origins, origin, 1, "required");
            own_keys.value("only", read.only, flag());
        });
    else
        field.into_list(read.origins, word, 1);
    const auto found =
        std::find_if(read.origins.begin(), read.origins.end(), [&](const auto& name) { return *name == by_edge; });
    if (found != read.origins.end()) {
        read.nearest_to_edge = true;
        if (read.origins.size() > 1) field.error("want nearest_to_edge alone, or origins without it");
        read.origins.clear();
    }
    if (!field.listing()) site.unlocated = std::move(read);
}

void read_route(Keys& keys, const std::vector<std::string>& origins, const Failover& failover, Route& route) {
    keys.value("path", route.path_prefix, prefix());
    keys.list("methods", route.methods, method(), 1, "any");
    keys.list("origins", route.origins, one_of_names("an origin's name, one of this site's", origins), 1, "the site's");
    keys.list("upgrades", route.upgrades, upgrade_protocol(), 0, "the site's");
    read_exchange_limits(keys, route.limits, "the site's");
    if (keys.at("deadline").written() || keys.at("head_timeout").written())
        warn_of_short_deadline(keys.field(), failover, route.limits);
}

/// An origin's server_name cannot follow the Host that follows it.
void refuse_circle(const Field& field, const Config& config, const Site& site) {
    for (const Origin& origin : config.origins)
        for (const auto& member : site.origins)
            if (*member == origin.name && origin.url->tls && *origin.tls.server_name == "host")
                field.error("want a Host that does not depend on the server name: tls.server_name of " + origin.name +
                            " is host");
}

/// `site` has all of its origins; `field` is where they are listed, or the site.
void refuse_many_origins(const Field& field, const Site& site, bool listed) {
    const std::set<std::string> names = [&] {
        std::set<std::string> each;
        for (const auto& origin : site.origins) each.insert(*origin);
        return each;
    }();
    if (names.size() <= most_site_origins) return;
    field.error("want at most " + std::to_string(most_site_origins) + " origins of one site, found " +
                std::to_string(names.size()) + (listed ? "" : ": all that there are, for want of a list `origins`"));
}

void read_site(Keys& keys, const Config& config, const Form<std::string>& any_origin, Site& site) {
    keys.list("hosts", site.hosts, site_host(), 1);
    keys.value("default", site.is_default, flag(), "true for the only site without hosts, else false");
    const bool listed = keys.list("origins", site.origins, any_origin, 1, "all, in their order");
    if (!listed)
        for (const Origin& origin : config.origins) site.origins.push_back({origin.name});
    refuse_many_origins(listed ? keys.at("origins") : keys.field(), site, listed);
    keys.value("policy", site.policy,
               choice<Policy>({{"nearest", Policy::nearest},
                               {"country", Policy::country},
                               {"failover", Policy::failover},
                               {"latency", Policy::latency}}));
    std::vector<std::string> own;
    own.reserve(site.origins.size());
    for (const auto& origin : site.origins) own.push_back(*origin);
    read_countries(keys, own, site);
    read_unlocated(keys, own, site);
    keys.list("writes", site.writes, one_of_names("an origin's name, one of this site's", own), 1,
              "all of the site's origins");
    if (keys.value("host_header", site.host_header, host_header()) && site.host_header == "server_name")
        refuse_circle(keys.at("host_header"), config, site);
    keys.value("all_down", site.all_down, choice<AllDown>({{"open", AllDown::open}, {"closed", AllDown::closed}}));
    keys.value("unserved", site.unserved,
               choice<Unserved>({{"error", Unserved::error}, {"warning", Unserved::warning}}));
    keys.value("hedge", site.hedge, hedge());
    keys.list("upgrades", site.upgrades, upgrade_protocol(), 0);
    read_exchange_limits(keys, site.limits, {});
    warn_of_short_deadline(keys.field(), config.failover, site.limits);
    keys.value("client_certificates", site.client_certificates, client_certificates(), "as the listener");
    keys.file("client_ca", site.client_ca, "as `tls.client_ca`");
    if (keys.at("client_ca").written() && !keys.at("client_certificates").written())
        keys.at("client_ca").error("want client_certificates beside it, found none");
    keys.value("untrusted", site.untrusted, untrusted(), "as `clients.untrusted`");
    if (keys.at("untrusted").written() && site.untrusted == Untrusted::refuse && config.clients.trusted.empty())
        keys.at("untrusted").error(refuses_everybody);
    keys.value("decision_header", site.decision_header, flag());
    keys.value("server_timing", site.server_timing, flag(), "as the top-level `server_timing`");
    keys.value("via", site.via, flag());
    keys.value("via_header", site.via_header, flag());
    keys.value(
        "interim_responses", site.interim_responses,
        choice<InterimResponses>(
            {{"http2", InterimResponses::http2}, {"all", InterimResponses::all}, {"none", InterimResponses::none}}));
    keys.value("normalize_path", site.normalize_path, flag());
    keys.value(
        "encoded_slashes", site.encoded_slashes,
        choice<EncodedSlashes>(
            {{"refuse", EncodedSlashes::refuse}, {"keep", EncodedSlashes::keep}, {"decode", EncodedSlashes::decode}}));
    if (site.encoded_slashes != EncodedSlashes::refuse && !site.normalize_path)
        keys.at("encoded_slashes").warning("has no effect without normalize_path: true");

    // One row in the reference: its keys are those of the top-level section, read by the same function.
    const Field rate_limit = keys.at("rate_limit");
    rate_limit.list("a map with the keys of `rate_limit`", "as `rate_limit`", false,
                    R"("$ref": "#/properties/rate_limit")");
    if (rate_limit.written()) rate_limit.map([&](Keys& own_keys) { read_rates(own_keys, site.rate_limit); });

    const Field routes = keys.at("routes");
    routes.list("a list of maps", "none");
    routes.items("maps with path, methods, origins or limits", [&](const Field& item) {
        Route route;
        route.limits = site.limits;
        route.upgrades = site.upgrades;
        route.mark = item.mark();
        item.map([&](Keys& route_keys) { read_route(route_keys, own, config.failover, route); });
        site.routes.push_back(std::move(route));
    });
}

Site new_site(const Config& config, std::string name, Mark mark) {
    Site site;
    site.name = std::move(name);
    site.server_timing = config.server_timing;
    site.untrusted = config.clients.untrusted;
    site.rate_limit = config.rate_limit;
    site.limits.origin_body_timeout = config.limits.origin_body_timeout;
    site.mark = mark;
    return site;
}

/// What only several sites together can get wrong.
void check_together(Reader& reader, const std::vector<Site>& sites) {
    const auto refuse = [&](Mark mark, std::string path, std::string what) {
        reader.report(Severity::error, mark, std::move(path), std::move(what));
    };
    std::map<std::string, const Site*> names;
    std::map<std::string, const Site*> hosts;
    const Site* default_site = nullptr;
    for (const Site& site : sites) {
        const auto [same, is_new] = names.emplace(site.name, &site);
        if (!is_new && !site.name.empty())
            refuse(site.mark, "sites",
                   "the name " + site.name + " is taken, in line " + std::to_string(same->second->mark.line));
        for (const auto& host : site.hosts) {
            const auto [first, is_first] = hosts.emplace(*host, &site);
            if (!is_first && first->second != &site)
                refuse(host.mark, host.path, "the host " + *host + " is taken by site " + first->second->name);
        }
        if (site.is_default && default_site)
            refuse(site.mark, "sites", "want one default site, found " + default_site->name + " and " + site.name);
        if (site.is_default && !default_site) default_site = &site;
    }
}

}  // namespace

void read_rate_limit(Keys& top, RateLimit& limit) {
    top.section("rate_limit", [&](Keys& keys) { read_rates(keys, limit); });
}

void read_sites(Keys& top, Config& config) {
    const Field sites = top.at("sites");
    const std::string wanted = "a map of site names to sites, or a list of sites";
    sites.list(wanted, "one default site with all origins");
    if (!sites.written() && !sites.listing()) {
        Site site = new_site(config, "default", sites.mark());
        site.is_default = true;
        for (const Origin& origin : config.origins) site.origins.push_back({origin.name});
        refuse_many_origins(top.at("origins"), site, false);
        warn_of_short_deadline(sites, config.failover, site.limits);
        config.sites.push_back(std::move(site));
        return;
    }

    const Form<std::string> any_origin = one_of_names("an origin's name", names_of(config.origins));
    std::vector<Field> hostless;
    const auto add = [&](std::string name, const Field& field, bool in_list) {
        Site site = new_site(config, std::move(name), field.key_mark());
        field.map([&](Keys& keys) {
            if (in_list) keys.required("name", site.name, site_name());
            if (keys.field().listing())
                keys.at("name").list(site_name().wanted, "the key; required where sites are a list", false,
                                     site_name().schema);
            read_site(keys, config, any_origin, site);
            if (!keys.at("hosts").written() && !site.is_default) hostless.push_back(field);
        });
        config.sites.push_back(std::move(site));
    };
    if (sites.is(Tree::Kind::list))
        sites.items(wanted, [&](const Field& item) { add({}, item, true); });
    else
        sites.entries(wanted, "NAME", [&](const std::string& name, const Field& field) {
            const Form<std::string> form = site_name();
            if (!form.read(name)) field.error_at(field.key_mark(), "want " + form.wanted + ", found " + shown(name));
            add(name, field, false);
        });

    const bool is_collection = sites.is(Tree::Kind::list) || sites.is(Tree::Kind::map);
    if (is_collection && config.sites.empty()) sites.mismatch("at least one site");
    if (config.sites.size() == 1 && !hostless.empty())
        config.sites.front().is_default = true;
    else
        for (const Field& field : hostless)
            field.error_at(field.key_mark(), "want hosts or default: true, found neither");
    check_together(top.field().reader(), config.sites);
}

}  // namespace nearhop::conf
