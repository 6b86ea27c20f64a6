#include "conf/parse.h"
#include "geo/catalogue.h"
#include "proxy/steering/path.h"
#include "proxy/steering/table.h"

#include <algorithm>
#include <map>
#include <utility>

/// From what the operator wrote to what `decide` reads. What only geography can judge is judged here, with the marks
/// that the form pass left; names that the form pass checks are looked up again, since a Config may also be built by
/// hand, and a name that is silently left out of a rule would be worse than a second message.
namespace nearhop::steering {
namespace {

using conf::At;
using conf::Severity;

class Builder {
public:
    Builder(const conf::Config& config, conf::Problems& problems) : config_{config}, problems_{problems} {}

    std::shared_ptr<const Table> build() {
        if (config_.origins.size() > conf::most_origins) {
            report(config_.origins[conf::most_origins].mark, "origins",
                   "found " + std::to_string(config_.origins.size()) + " origins, want at most " +
                       std::to_string(conf::most_origins));
            return nullptr;
        }
        for (const conf::Origin& origin : config_.origins) add_origin(origin);
        if (config_.sites.empty()) report({}, "sites", "want at least one site");
        for (const conf::Site& site : config_.sites) add_site(site);
        for (const conf::GeoOverride& given : config_.geo.overrides) {
            table_->overrides.emplace_back();
            for (const auto& name : given.origins)
                if (const auto id = find_origin(name)) table_->overrides.back().push_back(*id);
        }
        return failed_ ? nullptr : std::shared_ptr<const Table>{std::move(table_)};
    }

private:
    void report(conf::Mark mark, std::string path, std::string what, Severity severity = Severity::error) {
        failed_ |= severity == Severity::error;
        problems_.push_back({severity, mark, std::move(path), std::move(what)});
    }

    static std::string did_you_mean(const std::string& found, const std::vector<std::string>& known) {
        const std::string near = conf::near_miss(found, known);
        return near.empty() ? "" : "; did you mean \"" + near + "\"?";
    }

    void add_origin(const conf::Origin& origin) {
        const auto id = static_cast<OriginId>(table_->origins.size());
        if (!ids_.emplace(origin.name, id).second)
            report(origin.mark, "origins." + origin.name, "is a second origin of this name");
        OriginTable& entry = table_->origins.emplace_back();
        entry.name = origin.name;
        entry.host = origin.url->host;
        entry.server_name = origin.server_name();
        entry.follows_host = origin.follows_host();
        entry.weight = origin.weight;
        entry.checks = origin.health.checks;

        const bool named = !origin.region->empty();
        const geo::CloudRegion* region = geo::find_region(named ? *origin.region : origin.name);
        if (region != nullptr) {
            entry.region = region->name;
            entry.point = region->point;
        } else if (named) {
            // With coordinates the region is only a label, and data centres have names of their own; but one that is
            // nearly a known region is probably a typing error.
            entry.region = *origin.region;
            const std::string hint = did_you_mean(*origin.region, geo::region_names());
            const std::string what = "unknown region \"" + *origin.region + "\"";
            if (!origin.coordinates)
                report(origin.region.mark, origin.region.path,
                       what + ": want a region of AWS, GCP or Azure, or coordinates beside it" + hint);
            else if (!hint.empty())
                report(origin.region.mark, origin.region.path, what + hint, Severity::warning);
        }
        if (origin.coordinates) {
            entry.point = geo::point_at(origin.coordinates->first, origin.coordinates->second);
            if (!entry.point)
                report(origin.mark, "origins." + origin.name + ".coordinates",
                       "want a latitude from -90 to 90 and a longitude from -180 to 180, and not 0, 0");
        }
        // One message per origin: a bad region or bad coordinates have been reported already.
        unplaced_.push_back(!entry.point && !named && !origin.coordinates);
    }

    std::optional<OriginId> find_origin(const At<std::string>& name) {
        if (const auto found = ids_.find(*name); found != ids_.end()) return found->second;
        std::vector<std::string> known;
        known.reserve(ids_.size());
        for (const auto& [known_name, id] : ids_) known.push_back(known_name);
        report(name.mark, name.path, "unknown origin \"" + *name + "\"" + did_you_mean(*name, known));
        return std::nullopt;
    }

    /// An origin that must be one of the site's own.
    std::optional<Position> find_member(const SiteTable& site, const At<std::string>& name) {
        const auto id = find_origin(name);
        if (!id) return std::nullopt;
        if (const auto position = site.position_of(*id)) return position;
        report(name.mark, name.path, "origin \"" + *name + "\" is not one of site " + site.name);
        return std::nullopt;
    }

    void add_site(const conf::Site& given) {
        const auto id = static_cast<SiteId>(table_->sites.size());
        SiteTable& site = table_->sites.emplace_back();
        site.name = given.name;
        site.policy = given.policy;
        site.all_down = given.all_down;
        site.host_header = given.host_header;
        site.refuses_untrusted = given.untrusted == conf::Untrusted::refuse;
        site.decision_header = given.decision_header;
        site.hedge = given.hedge;
        site.server_timing = given.server_timing;
        site.via = given.via;
        site.via_header = given.via_header;
        site.interim_responses = given.interim_responses;
        site.normalize_path = given.normalize_path;
        site.encoded_slashes = given.encoded_slashes;
        for (const auto& name : given.origins) {
            const auto member = find_origin(name);
            if (!member || site.position_of(*member)) continue;
            if (site.origins.size() == conf::most_site_origins) {
                report(name.mark, name.path,
                       "found " + std::to_string(given.origins.size()) + " origins of site " + given.name +
                           ", want at most " + std::to_string(conf::most_site_origins));
                break;
            }
            site.origins.push_back(*member);
        }
        site.members = OriginSet::first(site.origins.size());
        if (given.origins.empty()) report(given.mark, "sites." + given.name, "want at least one origin");

        add_hosts(given, id);
        require_points(given, site);
        add_ranking(site);
        add_rows(given, site);
        warn_of_default_row(given, site);
        if (given.unlocated) add_unlocated(*given.unlocated, site);
        for (const auto& name : given.writes)
            if (const auto writer = find_member(site, name)) site.writers.set(*writer);
        if (given.writes.empty()) site.writers = site.members;
        add_routes(given, site);
    }

    void add_hosts(const conf::Site& given, SiteId id) {
        for (const auto& host : given.hosts) {
            std::string name = *host;
            for (char& c : name)
                if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
            if (name.ends_with('.')) name.pop_back();
            if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
            const bool wildcard = name.starts_with("*.");
            HostMap& hosts = wildcard ? table_->wildcards : table_->exact;
            const auto [entry, is_new] = hosts.emplace(wildcard ? name.substr(1) : name, id);
            if (!is_new && entry->second != id)
                report(host.mark, host.path,
                       "the host " + *host + " is taken by site " + table_->sites[entry->second].name);
        }
        if (!given.is_default) return;
        if (table_->default_site)
            report(given.mark, "sites." + given.name,
                   "is a second default site, beside " + table_->sites[*table_->default_site].name);
        table_->default_site = id;
    }

    void require_points(const conf::Site& given, const SiteTable& site) {
        const bool nearest = given.policy == conf::Policy::nearest;
        if (!nearest && given.policy != conf::Policy::latency) return;
        for (const OriginId id : site.origins) {
            if (!unplaced_[id]) continue;
            unplaced_[id] = false;
            const conf::Origin& origin = config_.origins[id];
            report(origin.mark, "origins." + origin.name,
                   "has neither region nor coordinates, which policy " + std::string{nearest ? "nearest" : "latency"} +
                       " of site " + given.name + " needs (its name is no known region either)" +
                       did_you_mean(origin.name, geo::region_names()));
        }
    }

    void add_ranking(SiteTable& site) {
        std::vector<geo::OriginPoint> points;
        points.reserve(site.origins.size());
        for (const OriginId id : site.origins) points.push_back({table_->origins[id].point, config_.origins[id].bias});
        site.nearest = geo::Ranking{std::move(points)};
    }

    // Country rows: a country's own row beats a group's, that a continent's, that the default; between groups that
    // share a country the earlier row does.

    void add_rows(const conf::Site& given, SiteTable& site) {
        if (given.policy != conf::Policy::country) return;
        site.row_of_country.assign(geo::Country::count, -1);
        std::vector<std::pair<const conf::CountryRow*, std::int16_t>> groups;
        for (const conf::CountryRow& row : given.countries) {
            const auto number = static_cast<std::int16_t>(site.rows.size());
            CountryOrder& order = site.rows.emplace_back();
            order.only = row.only;
            for (const auto& name : row.origins)
                if (const auto member = find_member(site, name)) order.listed.push_back(*member);
            if (row.origins.empty()) report(row.key.mark, row.key.path, "want at least one origin");
            if (!place_row(given, row, number, site)) groups.emplace_back(&row, number);
        }
        const std::vector<std::int16_t> by_country = site.row_of_country;
        for (const auto& [row, number] : groups) expand_group(given, *row, number, by_country, site);
    }

    /// False when the key is not a country, a continent or `default`: then it has to be a group.
    bool place_row(const conf::Site& given, const conf::CountryRow& row, std::int16_t number, SiteTable& site) {
        const std::string& key = *row.key;
        constexpr std::string_view prefix = "continent:";
        std::int16_t* target = nullptr;
        if (given.groups.contains(key)) return false;
        if (key == "default") {
            target = &site.default_row;
        } else if (key.starts_with(prefix)) {
            const auto continent = geo::parse_continent(std::string_view{key}.substr(prefix.size()));
            if (!continent) {
                report(row.key.mark, row.key.path,
                       "unknown continent in \"" + key + "\": want AF, AN, AS, EU, NA, OC or SA");
                return true;
            }
            target = &site.row_of_continent[static_cast<std::size_t>(*continent)];
        } else if (const auto country = geo::Country::parse(key); country && geo::facts(*country)) {
            target = &site.row_of_country[country->index()];
        } else {
            return false;
        }
        if (*target >= 0) report(row.key.mark, row.key.path, "is a second row for " + key);
        *target = number;
        return true;
    }

    void expand_group(const conf::Site& given, const conf::CountryRow& row, std::int16_t number,
                      const std::vector<std::int16_t>& by_country, SiteTable& site) {
        std::vector<geo::Country> members = geo::built_in_group(*row.key);
        if (const auto own = given.groups.find(*row.key); own != given.groups.end()) {
            members.clear();
            for (const std::string& code : own->second) {
                const auto country = geo::Country::parse(code);
                if (country && geo::facts(*country))
                    members.push_back(*country);
                else
                    report(row.key.mark, row.key.path,
                           "unknown country \"" + code + "\" in group " + *row.key +
                               ": want ISO 3166-1 codes of two letters");
            }
        } else if (members.empty()) {
            std::vector<std::string> known{"default", "eu", "eea"};
            for (const auto& [name, codes] : given.groups) known.push_back(name);
            report(row.key.mark, row.key.path,
                   "unknown country or group \"" + *row.key +
                       "\": want an ISO 3166-1 code of two letters, a group, continent:EU (or AF, AN, AS, NA, OC, SA) "
                       "or default" +
                       did_you_mean(*row.key, known));
        }
        for (const geo::Country country : members) {
            std::int16_t& entry = site.row_of_country[country.index()];
            if (by_country[country.index()] < 0 && entry < 0) entry = number;
        }
    }

    void add_unlocated(const conf::Unlocated& given, SiteTable& site) {
        CountryOrder& order = site.unlocated.emplace();
        order.only = given.only;
        order.nearest_to_edge = given.nearest_to_edge;
        for (const auto& name : given.origins)
            if (const auto member = find_member(site, name)) order.listed.push_back(*member);
    }

    /// A default row is often meant for clients without a place, and orders origins for half of the world.
    void warn_of_default_row(const conf::Site& given, const SiteTable& site) {
        if (site.default_row < 0) return;
        const auto at = static_cast<std::size_t>(site.default_row);
        if (site.rows[at].only || site.rows[at].listed.empty()) return;
        const auto far = far_countries(site, site.rows[at].listed.front());
        if (far.empty()) return;
        constexpr std::size_t shown = 3;
        std::string text;
        for (std::size_t i = 0; i < std::min(far.size(), shown); ++i) text += (i == 0 ? "" : "; ") + far[i];
        if (far.size() > shown) text += "; and " + std::to_string(far.size() - shown) + " more countries";
        report(given.countries[at].key.mark, given.countries[at].key.path,
               "default comes before nearness for every country without a row: " + text +
                   ". Without default such countries go by nearness, and `unlocated` says where clients without a "
                   "known place go",
               Severity::warning);
    }

    /// "GB to us-east-1 (5900 km), not eu-west-1 (460 km)": of countries without a row of their own. The ones with the
    /// most users first.
    std::vector<std::string> far_countries(const SiteTable& site, Position first) const {
        std::vector<std::string> far;
        const auto add = [&](geo::Country country) {
            const auto* facts = geo::facts(country);
            if (facts == nullptr || site.row_of_country[country.index()] >= 0) return;
            if (site.row_of_continent[static_cast<std::size_t>(facts->continent)] >= 0) return;
            const geo::OrderView order = site.nearest.of(country);
            if (order.size() == 0 || order.origins[0] == first || order.km[0] < 0) return;
            const auto found = std::find(order.origins.begin(), order.origins.end(), first);
            const auto km = order.km[found - order.origins.begin()];
            if (km <= order.km[0]) return;
            const auto name_of = [&](Position at) { return table_->origins[site.origins[index_of(at)]].name; };
            std::string text{country.text()};
            text += " to " + name_of(first) + " (" + std::to_string(km) + " km), not " + name_of(order.origins[0]) +
                    " (" + std::to_string(order.km[0]) + " km)";
            if (std::find(far.begin(), far.end(), text) == far.end()) far.push_back(std::move(text));
        };
        for (const char* code : {"US", "GB", "IN", "BR", "JP", "DE", "ID", "NG", "AU", "ZA", "MX", "FR"})
            add(*geo::Country::parse(code));
        for (std::size_t i = 0; i < geo::Country::count; ++i) add(geo::Country::from_index(i));
        return far;
    }

    void add_routes(const conf::Site& given, SiteTable& site) {
        for (const conf::Route& route : given.routes) {
            RouteTable& entry = site.routes.emplace_back();
            entry.path_prefix = route.path_prefix;
            if (given.normalize_path) normalize_prefix(given, route, entry.path_prefix);
            read_path(entry.path_prefix, true, false, entry.decoded_prefix);
            site.routes_by_path = site.routes_by_path || entry.path_prefix != "/";
            entry.methods = route.methods;
            entry.limits = route.limits;
            entry.upgrades = route.upgrades;
            for (const auto& name : route.origins)
                if (const auto member = find_member(site, name)) entry.allowed.set(*member);
            if (route.origins.empty()) entry.allowed = site.members;
        }
        std::stable_sort(site.routes.begin(), site.routes.end(), [](const RouteTable& a, const RouteTable& b) {
            return a.path_prefix.size() > b.path_prefix.size();
        });
        site.routes.push_back({.path_prefix = "/",
                               .decoded_prefix = "/",
                               .methods = {},
                               .allowed = site.members,
                               .limits = given.limits,
                               .upgrades = given.upgrades});
    }

    /// Compared with normal paths, a prefix that is none would never match.
    void normalize_prefix(const conf::Site& site, const conf::Route& route, std::string& prefix) {
        const PathForm form = steering::normalize_path(route.path_prefix, site.encoded_slashes, prefix);
        if (form == PathForm::encoded_slash || form == PathForm::bad_percent)
            report(route.mark, "sites." + site.name + ".routes",
                   "no path matches " + route.path_prefix + ": normalize_path refuses it");
    }

    const conf::Config& config_;
    conf::Problems& problems_;
    std::shared_ptr<Table> table_ = std::make_shared<Table>();
    std::map<std::string, OriginId> ids_;
    std::vector<bool> unplaced_;  ///< by origin: no position, and not reported yet
    bool failed_ = false;
};

}  // namespace

std::shared_ptr<const Table> build_table(const conf::Config& config, conf::Problems& problems) {
    return Builder{config, problems}.build();
}

}  // namespace nearhop::steering
