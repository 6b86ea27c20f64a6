#include "proxy/admin/question.h"

#include "proxy/client/authority.h"
#include "proxy/steering/decision.h"
#include "proxy/steering/path.h"
#include "proxy/wire/deviation.h"
#include "proxy/wire/json_text.h"

#include <boost/json.hpp>

#include <optional>

namespace nearhop::admin {
namespace {

/// The viewer fields that say what the question says; an error sentence when they would not be understood.
std::string fields_of(const Question& question, steering::ViewerFields& fields) {
    if (question.ip.empty() && question.country.empty() && question.latitude.empty() && question.longitude.empty())
        return "want an ip, a country, or lat and lon";
    if (question.latitude.empty() != question.longitude.empty()) return "want lat and lon together";
    if (!question.latitude.empty()) {
        const auto latitude = steering::parse_degrees(question.latitude, 90);
        const auto longitude = steering::parse_degrees(question.longitude, 180);
        if (!latitude) return "want lat as degrees from -90 to 90, found \"" + question.latitude + '"';
        if (!longitude) return "want lon as degrees from -180 to 180, found \"" + question.longitude + '"';
        if (!geo::point_at(*latitude, *longitude)) return "want a point other than 0, 0, which means an unknown place";
        fields.latitude = question.latitude;
        fields.longitude = question.longitude;
    }
    if (!question.country.empty()) {
        const std::string_view text = question.country;
        fields.country = text.substr(0, text.find('-'));
        if (fields.country.size() < text.size()) fields.country_region = text.substr(fields.country.size() + 1);
        if (!geo::Country::parse(fields.country))
            return "want country as a code such as DE or US-CA, found \"" + question.country + '"';
    }
    return {};
}

/// Without a host the question is about the default site, or about the first one.
std::string host_of(const Question& question, const shared::Routing& routing) {
    if (!question.host.empty() || routing.table->default_site || routing.config.sites.empty())
        return std::string{client::host_of(question.host)};
    const auto& hosts = routing.config.sites.front().hosts;
    if (hosts.empty()) return {};
    const std::string& host = *hosts.front();
    return host.starts_with("*.") ? "any" + host.substr(1) : host;
}

/// Why the edge would refuse the request before it decides, as docs/http.md names it; empty where it would not. `path`
/// becomes what routes are matched by.
std::string refusal(const std::string& method, std::string& path, const steering::SiteTable& site) {
    using wire::Deviation;
    const auto because = [](Deviation reason) {
        return std::string{wire::name(reason)} + ": " + std::string{wire::describe(reason)};
    };
    if (site.normalize_path) {
        std::string normal;
        switch (steering::normalize_path(path, site.encoded_slashes, normal)) {
            case steering::PathForm::as_sent: break;
            case steering::PathForm::changed: path = normal; break;
            case steering::PathForm::encoded_slash: return because(Deviation::encoded_slash);
            case steering::PathForm::bad_percent: return because(Deviation::bad_percent);
        }
    }
    return steering::readings_agree(site, method, path) ? std::string{} : because(Deviation::path_reading);
}

}  // namespace

Answer explain(const Question& question, const shared::Snapshot& snapshot, const health::Table& health) {
    Answer answer;
    steering::ViewerFields fields;
    answer.error = fields_of(question, fields);
    if (!answer.error.empty()) return answer;
    if (!question.host.empty() && !client::valid_authority(question.host)) {
        answer.error = "want host as a name or an address, found \"" + question.host + '"';
        return answer;
    }
    if (!question.path.empty() && !question.path.starts_with('/')) {
        answer.error = "want path to begin with /, found \"" + question.path + '"';
        return answer;
    }
    const auto peer = question.ip.empty() ? std::optional{geo::Address{}} : geo::Address::parse(question.ip);
    if (!peer) {
        answer.error = "want ip as an IPv4 or IPv6 address, found \"" + question.ip + '"';
        return answer;
    }

    auto& what = answer.explanation;
    const shared::Routing& routing = *snapshot.routing;
    what.host = host_of(question, routing);
    what.path = question.path.empty() ? "/" : question.path.substr(0, question.path.find('?'));
    what.method = question.method.empty() ? "GET" : question.method;
    what.located = steering::locate(*peer, true, fields, *snapshot.trust, *snapshot.locator);
    const auto site = routing.table->site_of(what.host);
    what.site_found = site.has_value();
    if (site) what.refused = refusal(what.method, what.path, routing.table->sites[*site]);
    if (site && what.refused.empty())
        steering::decide(
            {.site = *site, .method = what.method, .path = what.path, .line = steering::line_of(what.located.client)},
            what.located.place, *routing.table, health, steering::Local{}, steering::Earlier{}, what.decision);
    return answer;
}

std::string answer_text(const Answer& answer, const shared::Snapshot& snapshot, const health::Table& health,
                        const std::string& health_is) {
    return steering::explain_text(answer.explanation, *snapshot.routing->table, health) + "health: " + health_is + "\n";
}

std::string answer_json(const Answer& answer, const shared::Snapshot& snapshot, const health::Table& health,
                        const std::string& health_is) {
    auto value = boost::json::parse(steering::explain_json(answer.explanation, *snapshot.routing->table, health));
    value.as_object()["health"] = health_is;
    return wire::json_text(value) + "\n";
}

}  // namespace nearhop::admin
