#include "proxy/admin/question.h"

#include "proxy/steering/decision.h"
#include "proxy/steering/path.h"

#include <boost/json.hpp>

#include <charconv>
#include <cmath>
#include <optional>

namespace nearhop::admin {
namespace {

bool is_degrees(const std::string& text, double most) noexcept {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value);
    return parsed.ec == std::errc{} && parsed.ptr == end && std::isfinite(value) && std::abs(value) <= most;
}

/// The viewer fields that say what the question says; an error sentence when they would not be understood.
std::string fields_of(const Question& question, steering::ViewerFields& fields) {
    if (question.ip.empty() && question.country.empty() && question.latitude.empty() && question.longitude.empty())
        return "want an ip, a country, or lat and lon";
    if (question.latitude.empty() != question.longitude.empty()) return "want lat and lon together";
    if (!question.latitude.empty()) {
        if (!is_degrees(question.latitude, 90))
            return "want lat as degrees from -90 to 90, found \"" + question.latitude + '"';
        if (!is_degrees(question.longitude, 180))
            return "want lon as degrees from -180 to 180, found \"" + question.longitude + '"';
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
std::string host_of(const Question& question, const Routing& routing) {
    if (!question.host.empty() || routing.table->default_site || routing.config.sites.empty()) return question.host;
    const auto& hosts = routing.config.sites.front().hosts;
    if (hosts.empty()) return {};
    const std::string& host = *hosts.front();
    return host.starts_with("*.") ? "any" + host.substr(1) : host;
}

}  // namespace

Answer explain(const Question& question, const Snapshot& snapshot, const health::Table& health) {
    Answer answer;
    steering::ViewerFields fields;
    answer.error = fields_of(question, fields);
    if (!answer.error.empty()) return answer;
    const auto peer = question.ip.empty() ? std::optional{geo::Address{}} : geo::Address::parse(question.ip);
    if (!peer) {
        answer.error = "want ip as an IPv4 or IPv6 address, found \"" + question.ip + '"';
        return answer;
    }

    auto& what = answer.explanation;
    const Routing& routing = *snapshot.routing;
    what.host = host_of(question, routing);
    what.path = question.path.substr(0, question.path.find('?'));
    if (!what.path.starts_with('/')) what.path.insert(0, "/");
    what.method = question.method.empty() ? "GET" : question.method;
    what.located = steering::locate(*peer, true, fields, *snapshot.trust, *snapshot.locator);
    const auto site = routing.table->site_of(what.host);
    what.site_found = site.has_value();
    // As a request is read; a path that would be refused is matched as it stands.
    if (site && routing.table->sites[*site].normalize_path)
        steering::normalize_path(what.path, routing.table->sites[*site].encoded_slashes, what.path);
    if (site)
        steering::decide(
            {.site = *site, .method = what.method, .path = what.path, .line = steering::line_of(what.located.client)},
            what.located.place, *routing.table, health, steering::OriginSet{}, what.decision);
    return answer;
}

std::string answer_text(const Answer& answer, const Snapshot& snapshot, const health::Table& health,
                        const std::string& health_is) {
    return steering::explain_text(answer.explanation, *snapshot.routing->table, health) + "health: " + health_is + "\n";
}

std::string answer_json(const Answer& answer, const Snapshot& snapshot, const health::Table& health,
                        const std::string& health_is) {
    auto value = boost::json::parse(steering::explain_json(answer.explanation, *snapshot.routing->table, health));
    value.as_object()["health"] = health_is;
    return boost::json::serialize(value) + "\n";
}

}  // namespace nearhop::admin
