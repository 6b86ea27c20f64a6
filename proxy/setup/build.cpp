#include "proxy/setup/build.h"

#include "proxy/setup/build_origins.h"
#include "proxy/setup/database_cache.h"
#include "proxy/setup/listener_key.h"
#include "proxy/setup/memory_limit.h"
#include "proxy/setup/rto.h"
#include "proxy/setup/secrets.h"
#include "proxy/setup/trusted.h"
#include "proxy/steering/coverage.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

namespace nearhop::setup {
namespace {

using conf::Severity;

geo::CidrTable build_proxy_protocol(const conf::Listener& listener, conf::Problems& problems) {
    std::vector<std::pair<geo::Cidr, std::uint32_t>> peers;
    for (const auto& text : listener.proxy_protocol_from)
        if (const auto cidr = network_from(text, problems)) peers.emplace_back(*cidr, 1);
    return geo::CidrTable{std::move(peers)};
}

/// What clients must show and send, by listener and by site.
void build_rules(const conf::Config& config, shared::Routing& routing, conf::Problems& problems) {
    using conf::ClientCertificates;
    std::map<std::pair<ClientCertificates, std::string>, std::shared_ptr<const wire::ClientRule>> known;
    const auto rule_for = [&](const conf::At<ClientCertificates>& mode, const conf::At<std::string>& ca) {
        const bool none = *mode == ClientCertificates::none;
        auto& rule = known[{*mode, none ? std::string{} : *ca}];
        if (rule) return rule;
        std::string error = "want a CA file beside it (client_ca), found none";
        if (none || !ca->empty()) rule = wire::ClientRule::load(*mode, *ca, error);
        if (!rule) {
            const bool written = ca.mark.line > 0;
            problems.push_back({Severity::error, written ? ca.mark : mode.mark, written ? ca.path : mode.path, error});
        }
        return rule;
    };
    for (std::size_t i = 0; i < config.listeners.size(); ++i) {
        const auto& listener = config.listeners[i];
        routing.listeners.push_back(std::make_shared<const shared::ListenerRules>(
            shared::ListenerRules{key_of(config.listeners, i), build_proxy_protocol(listener, problems),
                                  rule_for(listener.client_certificates, config.tls.client_ca)}));
    }
    for (const auto& site : config.sites)
        routing.site_client_rules.push_back(
            site.client_certificates
                ? rule_for(*site.client_certificates, site.client_ca->empty() ? config.tls.client_ca : site.client_ca)
                : nullptr);
}

/// For handshakes; null where no site has a rule of its own.
wire::ClientRuleOf site_rule_of(const shared::Routing& routing) {
    const auto& rules = routing.site_client_rules;
    if (std::none_of(rules.begin(), rules.end(), [](const auto& rule) { return rule != nullptr; })) return {};
    return [rules, table = routing.table](std::string_view name) -> const wire::ClientRule* {
        const auto site = table->site_of(name);
        return site ? rules[*site].get() : nullptr;
    };
}

/// Null where the admin listener speaks plain HTTP, or a problem says why.
std::shared_ptr<const wire::ServerTls> build_admin_tls(const conf::Config& config, const wire::TicketKeys& keys,
                                                       conf::Problems& problems) {
    if (!config.admin.tls) return nullptr;
    const auto& own = *config.admin.tls;
    conf::Tls tls;
    tls.certificates = {own.certificate};
    tls.min_version = own.min_version.value_or(config.tls.min_version);
    tls.ticket_rotation = config.tls.ticket_rotation;
    wire::ClientRuleOf rules;
    if (!own.client_ca->empty()) {
        std::string error;
        const auto rule = wire::ClientRule::load(conf::ClientCertificates::required, *own.client_ca, error);
        if (!rule) problems.push_back({Severity::error, own.client_ca.mark, own.client_ca.path, error});
        rules = [rule](std::string_view) { return rule.get(); };
    }
    return wire::ServerTls::load(tls, keys, problems, std::move(rules));
}

std::vector<std::string> identity_headers(const conf::ClientIdentity& identity) {
    std::vector<std::string> names;
    for (const std::string& name : {identity.subject, identity.san, identity.fingerprint, identity.certificate})
        if (!name.empty()) names.push_back(name);
    return names;
}

void check_listeners(const conf::Config& config, conf::Problems& problems) {
    for (const auto& listener : config.listeners)
        if (const auto& ciphers = listener.ciphers; !ciphers->empty() && !wire::is_cipher_list(*ciphers))
            problems.push_back({Severity::error, ciphers.mark, ciphers.path,
                                "want an OpenSSL cipher list, found \"" + *ciphers + '"'});
}

/// Clients refuse what they then get; a name that nobody asks for does no harm.
void check_certificates(const conf::Config& config, const wire::ServerTls& tls, conf::Problems& problems) {
    for (const auto& site : config.sites) {
        std::vector<const conf::At<std::string>*> uncovered;
        for (const auto& host : site.hosts)
            if (!tls.covers(*host)) uncovered.push_back(&host);
        if (uncovered.empty()) continue;
        const auto& first = *uncovered.front();
        const std::size_t more = uncovered.size() - 1;
        problems.push_back({Severity::warning, first.mark, first.path,
                            "no certificate has the name " + *first +
                                (more == 0 ? "" : " (and " + std::to_string(more) + " more hosts of this site)") +
                                ": clients refuse the connection; want one with this name in tls.certificates"});
    }
}

/// What can be said without making the file: that it could never be opened.
void check_access_log(const conf::Log& log, conf::Problems& problems) {
    if (*log.access == "stdout" || *log.access == "off") return;
    const std::filesystem::path file{*log.access};
    std::error_code unknown;
    const auto refuse = [&](const std::string& what) {
        problems.push_back({Severity::error, log.access.mark, log.access.path, what});
    };
    if (std::filesystem::is_directory(file, unknown))
        refuse("want a file, found a folder: " + file.string());
    else if (const auto folder = file.parent_path(); !folder.empty() && !std::filesystem::is_directory(folder, unknown))
        refuse("want a file in an existing folder, found no folder " + folder.string());
}

std::vector<std::shared_ptr<const geo::Database>> open_databases(const conf::Config& config, conf::Problems& problems) {
    const auto& geo = config.geo;
    std::vector<std::shared_ptr<const geo::Database>> databases;
    for (const auto& file : geo.databases) {
        auto opened = open_database(*file, most_geo_bytes(config.limits));
        if (!opened.database) {
            problems.push_back({Severity::error, file.mark, file.path, opened.error});
            continue;
        }
        if (const auto now = std::chrono::system_clock::now(); geo::is_old(opened.database->built(), now))
            problems.push_back({Severity::warning, file.mark, file.path,
                                "the geo database " + *file + " is old: want one that was built in the last " +
                                    std::to_string(geo::old_after.count()) + " days, found " +
                                    std::to_string(geo::age(opened.database->built(), now).count()) + " days"});
        databases.push_back(std::move(opened.database));
    }
    if (geo.databases.empty()) {
        // It cannot change while the process runs, so all reloads share one.
        static const auto embedded = geo::Database::open_embedded();
        if (embedded.database)
            databases.push_back(embedded.database);
        else
            problems.push_back({Severity::error, {}, "geo.databases", "the embedded database: " + embedded.error});
    } else if (databases.size() == geo.databases.size()) {
        if (const std::string version{unlocated_by(databases)}; !version.empty())
            problems.push_back({Severity::warning, geo.databases.front().mark, geo.databases.front().path,
                                "no client with an " + version +
                                    " address will be located: no database given here holds " + version +
                                    " networks; want a file that does beside " + *geo.databases.front()});
    }
    return databases;
}

std::vector<geo::Override> build_overrides(const conf::Geo& geo, conf::Problems& problems) {
    std::vector<geo::Override> overrides;
    for (const auto& written : geo.overrides) {
        geo::Override made;
        const auto cidr = network_from(written.cidr, problems);
        if (cidr) made.cidr = *cidr;
        if (written.country) {
            made.country = geo::Country::parse(**written.country);
            if (!made.country)
                problems.push_back({Severity::error, written.country->mark, written.country->path,
                                    "want a country code such as DE, found \"" + **written.country + '"'});
        }
        if (written.point) {
            made.point = geo::point_at(written.point->first, written.point->second);
            if (!made.point)
                problems.push_back({Severity::error, written.cidr.mark, written.cidr.path,
                                    "want a point other than [0, 0], which means an unknown place"});
        }
        made.has_origins = !written.origins.empty();
        overrides.push_back(made);  // also after a problem: the index is the configuration's
    }
    return overrides;
}

}  // namespace

std::optional<geo::Cidr> network_from(const conf::At<std::string>& text, conf::Problems& problems) {
    auto cidr = geo::Cidr::parse(*text);
    if (!cidr)
        problems.push_back(
            {Severity::error, text.mark, text.path,
             "want a network such as 10.0.0.0/8, without bits after the prefix, found \"" + *text + '"'});
    return cidr;
}

geo::Database::OpenResult open_database(const std::string& file, std::uint64_t most_bytes) {
    const shared::FileStamp stamp = shared::FileStamp::of(file);
    if (auto known = find_database(file, stamp)) return {std::move(known), {}};
    auto opened = geo::Database::open(file, most_bytes);
    if (!opened.database) return opened;
    // Addresses of all corners of the tree, IPv4 and IPv6: a record that cannot be read shows before it is needed.
    for (const std::string_view text : {"1.1.1.1", "8.8.8.8", "81.2.69.142", "196.216.2.1", "202.12.29.205",
                                        "223.5.5.5", "2001:4860:4860::8888", "2a00:1450::1"}) {
        geo::Record record;
        if (opened.database->lookup(*geo::Address::parse(text), record) == geo::Lookup::error)
            return {nullptr, "the geo database " + file + " is corrupt: looking up " + std::string{text} + " fails"};
    }
    remember_database(file, stamp, opened.database);
    return opened;
}

std::string_view unlocated_by(const std::vector<std::shared_ptr<const geo::Database>>& databases) {
    const auto none = [&](bool (geo::Database::*locates)() const noexcept) {
        return std::none_of(databases.begin(), databases.end(),
                            [&](const auto& database) { return (*database.*locates)(); });
    };
    return none(&geo::Database::locates_v4) ? "IPv4" : none(&geo::Database::locates_v6) ? "IPv6" : "";
}

std::shared_ptr<const geo::Locator> build_locator(const conf::Geo& geo,
                                                  std::vector<std::shared_ptr<const geo::Database>> databases) {
    conf::Problems known;  // all of them were reported when the configuration was loaded
    return std::make_shared<const geo::Locator>(build_overrides(geo, known), std::move(databases));
}

BuildResult build(conf::Config config, const wire::TicketKeys& keys) {
    BuildResult result;
    auto& problems = result.problems;
    auto routing = std::make_shared<shared::Routing>();
    shared::Snapshot snapshot;

    read_secrets(config, problems);
    routing->table = steering::build_table(config, problems);
    if (routing->table) steering::check_unserved(config, *routing->table, problems);
    build_trust(config, snapshot, problems);
    routing->origins = build_origins(config, problems);
    build_rules(config, *routing, problems);
    routing->identity_headers = identity_headers(config.tls.identity);
    check_listeners(config, problems);
    check_access_log(config.log, problems);
    check_rto(config, problems);
    if (!config.tls.certificates.empty())  // checked even if nobody listens
        snapshot.server_tls = wire::ServerTls::load(config.tls, keys, problems, site_rule_of(*routing));
    const bool listens = std::any_of(config.listeners.begin(), config.listeners.end(),
                                     [](const auto& listener) { return listener.kind == conf::ListenerKind::https; });
    if (!listens) snapshot.server_tls = nullptr;
    snapshot.admin_tls = build_admin_tls(config, keys, problems);
    if (snapshot.server_tls) check_certificates(config, *snapshot.server_tls, problems);
    auto databases = open_databases(config, problems);
    snapshot.locator =
        std::make_shared<const geo::Locator>(build_overrides(config.geo, problems), std::move(databases));
    if (conf::has_errors(problems)) return result;

    const std::size_t origins = config.origins.size();
    routing->config = std::move(config);
    routing->config_generation = 1;
    snapshot.routing = std::move(routing);
    // Nothing is known yet: valid for decisions that come before the control thread's first ones.
    auto health = std::make_shared<health::Table>();
    health->origins.resize(origins);
    snapshot.health = std::move(health);
    auto addresses = std::make_shared<shared::Addresses>();
    addresses->by_origin.resize(origins);
    snapshot.addresses = std::move(addresses);
    result.snapshot = std::move(snapshot);
    return result;
}

BuildResult load(const std::string& file, const wire::TicketKeys& keys, conf::Accept accept) try {
    auto parsed = conf::parse_file(file, accept);
    if (!parsed.config) {
        // The operator gets the problems of both passes at once, without those that an earlier one may have caused.
        BuildResult result{std::nullopt, std::move(parsed.problems)};
        if (!parsed.readable) return result;
        const auto form = result.problems;
        for (auto& problem : build(std::move(*parsed.readable), keys).problems)
            if (!conf::follows_from(problem, form)) result.problems.push_back(std::move(problem));
        std::stable_sort(result.problems.begin(), result.problems.end(), conf::earlier);
        return result;
    }
    auto built = build(std::move(*parsed.config), keys);
    built.problems.insert(built.problems.begin(), parsed.problems.begin(), parsed.problems.end());
    return built;
} catch (const std::exception& error) {  // no memory, most likely: a running edge must survive its reload
    return {std::nullopt, {{Severity::error, {}, "", std::string{"it cannot be loaded: "} + error.what()}}};
}

}  // namespace nearhop::setup
