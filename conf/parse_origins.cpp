#include "conf/sections.h"
#include "conf/syntax.h"

#include <algorithm>
#include <set>

/// Origins and how their health is judged; networks whose place the operator knows.
namespace nearhop::conf {
namespace {

Form<milliseconds> rto_target() { return duration(100ms, 24h); }

void read_probe(Keys& keys, Probe& probe) {
    keys.value("path", probe.path, path());
    keys.value("host", probe.host, host_field(), "as requests have it");
    keys.value("port", probe.port, count(1, 65'535), "the origin URL's");
    read_header_fields(keys, "headers", probe.headers);
    keys.list("statuses", probe.statuses, statuses(), 1);
    keys.value("body_contains", probe.body_contains, any_text());
    const Field interval = keys.at("interval");
    const Field timeout = keys.at("timeout");
    keys.value("interval", probe.interval, duration(100ms, 1h));
    keys.value("interval_transitional", probe.interval_transitional, duration(100ms, 1h));
    keys.value("interval_down", probe.interval_down, duration(100ms, 1h));
    keys.value("jitter", probe.jitter, percent(0, 50));
    keys.value("timeout", probe.timeout, duration(10ms, 1min));
    keys.value("connect_timeout", probe.connect_timeout, duration(10ms, 1min));
    keys.value("fall", probe.fall, count(1, 100));
    keys.value("rise", probe.rise, count(1, 100));
    keys.value("body_limit", probe.body_limit, size(1, 16 * 1024 * 1024));
    read_checks(keys, probe.checks);
    keys.value("expect_region", probe.expect_region, any_text(), "the origin's region");
    keys.value("agent_header", probe.agent_header, agent_header());
    keys.value("agent_expiry", probe.agent_expiry, duration(1s, 1h));

    // Only where one of the two is written: an origin that inherits both would repeat the same sentence.
    const Field& trap = timeout.written() ? timeout : interval;
    if (trap.written() && *probe.timeout > probe.interval)
        trap.warning("a probe may take longer (" + to_string(*probe.timeout) + ") than the interval between two (" +
                     to_string(probe.interval) + "): the next one starts late");
}

void read_passive(Keys& keys, Passive& passive) {
    keys.value("enabled", passive.enabled, flag());
    keys.value("connect_failures", passive.connect_failures, count(1, 1000));
    keys.value("status_failures", passive.status_failures, count(1, 1000));
    keys.value("ratio_percent", passive.ratio_percent, percent(1, 100));
    keys.value("ratio_minimum", passive.ratio_minimum, count(1, 1'000'000));
    keys.value("ratio_window", passive.ratio_window, whole_seconds(1s, 60s));  // what the verdict keeps
    keys.value("ejection", passive.ejection, duration(100ms, 1h));
    keys.value("stall", passive.stall, duration(0ms, 1min));
    const Field max = keys.at("ejection_max");
    keys.value("ejection_max", passive.ejection_max, duration(100ms, 24h));
    if (passive.ejection_max < passive.ejection)
        (max.written() ? max : keys.at("ejection"))
            .error("want ejection at most ejection_max, found ejection " + to_string(passive.ejection) +
                   " and ejection_max " + to_string(passive.ejection_max));
}

void read_origin_map(Keys& keys, Origin& origin) {
    keys.required("url", origin.url, origin_url());
    keys.value("region", origin.region, any_text(), "the origin's name, if it is a known region");
    read_point(keys, "coordinates", origin.coordinates);
    keys.file("ca", origin.ca, "the system's certificate authorities");
    keys.section("tls", [&](Keys& tls) {
        tls.value("min_version", origin.tls.min_version, tls_version());
        tls.value("ciphers", origin.tls.ciphers, any_text(), "OpenSSL's own");
        const bool certificate = tls.file("certificate", origin.tls.certificate, "none");
        const bool private_key = tls.file("private_key", origin.tls.private_key, "required with `certificate`");
        if (certificate != private_key) tls.field().error("want certificate and private_key, found one of them");
        if (tls.value("server_name", origin.tls.server_name, server_name()) && !origin.url->tls)
            tls.at("server_name").warning("has no effect: the origin's URL is http");
    });
    read_origin_headers(keys, origin.headers);
    keys.value("via", origin.via, flag(), "as the site");
    keys.value("proxy_protocol", origin.proxy_protocol, choice<bool>({{"off", false}, {"v2", true}}));
    keys.value("bias", origin.bias, integer(-99, 99));
    keys.value("weight", origin.weight, count(0, 1000));
    keys.value_with("capacity", origin.capacity, count(0, 1'000'000), "unlimited");
    keys.value("rto_target", origin.rto_target, rto_target(), "as the top-level `rto_target`");

    // One row each in the reference: their keys are those of the top-level section, read by the same function.
    const Field health = keys.at("health");
    const Field passive = keys.at("passive");
    health.list("a map with the keys of `health`", "as `health`", false, R"("$ref": "#/properties/health")");
    passive.list("a map with the keys of `passive`", "as `passive`", false, R"("$ref": "#/properties/passive")");
    if (health.written()) health.map([&](Keys& own) { read_probe(own, origin.health); });
    if (passive.written()) passive.map([&](Keys& own) { read_passive(own, origin.passive); });
}

void read_override(Keys& keys, const std::vector<std::string>& names, GeoOverride& entry) {
    keys.required("cidr", entry.cidr, network());
    keys.value("country", entry.country, country());
    read_point(keys, "point", entry.point);
    keys.list("origins", entry.origins, one_of_names("an origin's name", names), 1);
    int given = 0;
    for (const char* key : {"country", "point", "origins"}) given += keys.at(key).written() ? 1 : 0;
    if (given != 1)
        keys.field().error("want exactly one of country, point and origins, found " + std::to_string(given));
}

}  // namespace

std::vector<std::string> names_of(const std::vector<Origin>& origins) {
    std::vector<std::string> names;
    names.reserve(origins.size());
    for (const Origin& origin : origins) names.push_back(origin.name);
    return names;
}

bool read_point(Keys& keys, std::string_view key, std::optional<std::pair<double, double>>& point) {
    const Field field = keys.at(key);
    field.list("[latitude, longitude] in degrees, -90 to 90 and -180 to 180", "none", false,
               R"("type": "array", "items": [{)" + degrees(90).schema + "}, {" + degrees(180).schema +
                   R"(}], "minItems": 2, "maxItems": 2)");
    if (!field.written()) return false;
    std::vector<std::optional<double>> values;
    if (field.is(Tree::Kind::list))
        field.items("", [&](const Field& item) {
            const std::size_t count = values.size();
            values.push_back(count < 2 ? item.read(degrees(count == 0 ? 90 : 180)) : std::nullopt);
        });
    if (values.size() != 2) {
        field.mismatch("[latitude, longitude] in degrees");
        return false;
    }
    if (!values[0] || !values[1]) return false;
    point.emplace(*values[0], *values[1]);
    field.note_value(std::to_string(*values[0]) + ", " + std::to_string(*values[1]));
    return true;
}

void read_origins(Keys& top, Config& config) {
    Probe health;
    Passive passive;
    top.section("health", [&](Keys& keys) { read_probe(keys, health); });
    top.section("passive", [&](Keys& keys) { read_passive(keys, passive); });
    std::optional<At<milliseconds>> target;
    top.value("rto_target", target, rto_target());

    const Field origins = top.at("origins");
    if (origins.missing("a map of origin names to URLs, such as us-east-1: https://us.example.com")) return;
    origins.entries("a map of origin names to URLs", "NAME", [&](const std::string& name, const Field& field) {
        Origin origin;
        origin.name = name;
        origin.health = health;
        origin.passive = passive;
        origin.rto_target = target;
        origin.mark = field.key_mark();
        field.list("a URL, or a map with url", "required", false, origin_url().schema);
        const Form<std::string> form = origin_name();
        if (!form.read(name)) field.error_at(field.key_mark(), "want " + form.wanted + ", found " + shown(name));
        if (field.is(Tree::Kind::map) || field.listing())
            field.map([&](Keys& keys) { read_origin_map(keys, origin); });
        else
            field.into(origin.url, origin_url());
        config.origins.push_back(std::move(origin));
    });
    if (origins.is(Tree::Kind::map) && config.origins.empty()) origins.mismatch("at least one origin");
    if (config.origins.size() > most_origins)
        origins.error("want at most " + std::to_string(most_origins) + " origins, found " +
                      std::to_string(config.origins.size()));
}

void read_geo(Keys& top, Config& config) {
    Geo& geo = config.geo;
    top.section("geo", [&](Keys& keys) {
        if (keys.list("databases", geo.databases, file_name(), 0, "the embedded country database"))
            for (auto& database : geo.databases) database.value = resolved(keys.field().reader(), database.value);
        keys.value("watch", geo.watch, whole_seconds(1s, 86'400s));
        const Field overrides = keys.at("overrides");
        const std::vector<std::string> names = names_of(config.origins);
        std::set<std::string> seen;
        overrides.list("a list of maps with cidr and one of country, point and origins", "none");
        overrides.items("maps with a cidr", [&](const Field& item) {
            GeoOverride entry;
            item.map([&](Keys& own) { read_override(own, names, entry); });
            if (!entry.cidr->empty() && !seen.insert(*entry.cidr).second)
                item.error("is a second entry for " + *entry.cidr);
            geo.overrides.push_back(std::move(entry));
        });
    });
}

}  // namespace nearhop::conf
