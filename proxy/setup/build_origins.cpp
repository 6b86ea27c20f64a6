#include "proxy/setup/build_origins.h"

#include "conf/syntax.h"
#include "geo/address.h"
#include "geo/catalogue.h"
#include "proxy/origin/pool.h"
#include "proxy/wire/origin_tls.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace nearhop::setup {
namespace {

using conf::Severity;

std::string bracketed(const std::string& host) { return host.find(':') == host.npos ? host : '[' + host + ']'; }

/// What a probe asks and of whom. Its tempo and thresholds are not in it: changing them forgets nothing. Nor are the
/// fields of requests: a secret that changes says nothing of the origin.
std::string identity_of(const conf::Origin& origin) {
    const auto& health = origin.health;
    std::string text = origin.name + (origin.url->tls ? " https://" : " http://") + bracketed(origin.url->host) + ':' +
                       std::to_string(origin.url->port) + " ca=" + *origin.ca + " path=" + health.path +
                       " host=" + health.host + " body=" + health.body_contains +
                       (origin.proxy_protocol ? " proxy_protocol=v2" : "") + " server_name=" + *origin.tls.server_name +
                       " port=" + std::to_string(health.port) + " status=";
    for (const auto& [low, high] : health.statuses) text += std::to_string(low) + '-' + std::to_string(high) + ',';
    return text;
}

/// The Host that users of an origin ask it with, as far as the configuration knows one: of the first site that tells.
std::string host_of_users(const conf::Config& config, const conf::Origin& origin, const shared::OriginInfo& info) {
    for (const auto& site : config.sites) {
        const bool is_member = std::any_of(site.origins.begin(), site.origins.end(),
                                           [&](const auto& name) { return *name == origin.name; });
        if (!is_member) continue;
        if (site.host_header == "origin") return info.host_field;
        if (site.host_header == "server_name") return info.server_name_field;
        if (site.host_header != "client") return site.host_header;
        for (const auto& host : site.hosts)
            if (!host->starts_with("*.")) return bracketed(*host);
    }
    return info.tls && info.server_name != info.host ? info.server_name_field : info.host_field;
}

void add_headers(const conf::Config& config, const conf::Origin& origin, shared::OriginInfo& info,
                 conf::Problems& problems) {
    const auto& identity = config.tls.identity;
    info.headers = origin.headers;
    for (const auto& [name, value] : origin.headers.set) {
        info.header_lines += name + ": " + value.value + "\r\n";
        info.own_fields.push_back(name);
        for (const std::string& taken : {identity.subject, identity.san, identity.fingerprint, identity.certificate})
            if (!taken.empty() && conf::folded(taken) == conf::folded(name))
                problems.push_back({Severity::error, value.mark, value.path,
                                    "want a field that tls.identity_headers does not write, found " + taken});
    }
    info.own_fields.insert(info.own_fields.end(), origin.headers.removed.begin(), origin.headers.removed.end());
}

void warn_of_unknown_host(const conf::Origin& origin, const shared::OriginInfo& info, conf::Problems& problems) {
    if (!info.follows_host || !origin.health.host.empty() || info.probe_host != info.host_field) return;
    problems.push_back({Severity::warning, origin.tls.server_name.mark, origin.tls.server_name.path,
                        "probes ask for " + info.host +
                            ", a name that users may not ask for: no site with this "
                            "origin has a name without a wildcard in hosts; want health.host"});
}

}  // namespace

std::vector<shared::OriginInfo> build_origins(const conf::Config& config, conf::Problems& problems) {
    // One context for all origins with the same settings: the system's store alone is some hundred certificates.
    std::map<std::string, wire::OriginTls> contexts;
    std::vector<shared::OriginInfo> origins;
    for (const auto& origin : config.origins) {
        shared::OriginInfo info;
        const auto& url = *origin.url;
        info.name = origin.name;
        info.identity = identity_of(origin);
        info.tls = url.tls;
        info.host = url.host;
        info.host_is_address = geo::Address::parse(url.host).has_value();
        info.port = url.port;
        info.proxy_protocol = origin.proxy_protocol;
        info.region = !origin.region->empty() ? *origin.region : geo::find_region(origin.name) ? origin.name : "";
        if (origin.health.agent_header != "off") info.agent_header = origin.health.agent_header;
        info.host_field = bracketed(url.host);
        if (url.port != (url.tls ? 443 : 80)) info.host_field += ':' + std::to_string(url.port);
        info.server_name = origin.server_name();
        info.server_name_field = bracketed(info.server_name);
        info.follows_host = origin.follows_host();
        info.probe_host = host_of_users(config, origin, info);
        info.via = origin.via;
        add_headers(config, origin, info, problems);
        warn_of_unknown_host(origin, info, problems);
        if (url.tls) {
            const auto& tls = origin.tls;
            const std::string settings = *origin.ca + '\n' + *tls.certificate + '\n' + *tls.private_key + '\n' +
                                         *tls.ciphers + (tls.min_version == conf::TlsVersion::tls1_3 ? "\n1.3" : "");
            auto known = contexts.find(settings);
            if (known == contexts.end()) {
                known = contexts.emplace(settings, wire::load_origin_tls(origin.ca, tls, problems)).first;
                if (known->second.context) origin::remember_sessions(known->second.context.get());
            }
            info.context = known->second.context;
            info.tls_digest = known->second.digest + *tls.server_name;
        }
        origins.push_back(std::move(info));
    }
    return origins;
}

}  // namespace nearhop::setup
