#include "proxy/admin/status_page.h"

#include "health/describe.h"
#include "proxy/account/version.h"
#include "proxy/wire/json_text.h"

#include <boost/json.hpp>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <map>
#include <string>
#include <utility>

namespace nearhop::admin {
namespace {

namespace json = boost::json;
using std::chrono::system_clock;

json::value time_json(system_clock::time_point time) {
    if (time == system_clock::time_point{}) return nullptr;
    const std::time_t seconds = system_clock::to_time_t(time);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char text[32];
    return json::string{text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

/// A moment of the monotonic clock as people tell it.
json::value time_json(health::TimePoint time) {
    if (time == health::TimePoint{}) return nullptr;
    const auto ago = std::chrono::duration_cast<system_clock::duration>(health::Clock::now() - time);
    return time_json(system_clock::now() - ago);
}

json::value text_or_null(const std::string& text) {
    return text.empty() ? json::value(nullptr) : json::value(printable(text));
}

json::object state_json(const health::State& state) {
    return {{"verdict", health::name(state.verdict)},
            {"reason", health::reason_text(state)},
            {"since", time_json(state.since)},
            {"ejected", state.ejected},
            {"on_trial", state.on_trial},
            {"draining", state.draining},
            {"agent", health::name(state.agent)}};
}

json::object address_json(const control::Control::Status::Address& address) {
    json::object out = state_json(address.state);
    out["address"] = address.text;
    if (!address.probed) {
        out["last_probe"] = nullptr;
        return out;
    }
    const auto& phases = address.last.phases;
    const auto& result = address.last.result;
    out["last_probe"] = json::object{
        {"passed", result.passed},
        {"result", health::reason_text(result.reason, result.status, result.certificate)},
        {"detail", printable(address.last.detail)},
        {"reused_connection", address.last.reused},
        {"connect_s", wire::measured(phases.connect)},
        {"tls_s", wire::measured(phases.tls)},
        {"first_byte_s", wire::measured(phases.first_byte)},
        {"total_s", wire::measured(phases.total)},
    };
    return out;
}

/// Requests and tunnels at each origin, of all sites and workers.
std::map<std::string, std::uint64_t> in_flight_of(const shared::Registry& registry) {
    std::map<std::string, std::uint64_t> all;
    for (const auto& [pair, blocks] : registry.origins())
        for (const auto& block : blocks)
            if (block) all[pair.second] += block->in_flight.get();
    return all;
}

json::object origin_json(const control::Control::Status::Origin& origin, std::uint64_t in_flight) {
    json::object out{{"name", origin.name}};
    for (auto& member : state_json(origin.state)) out.insert(std::move(member));
    out["ejections"] = origin.state.ejections;
    out["ejected_until"] = origin.state.ejected ? time_json(origin.state.ejected_until) : nullptr;
    out["in_flight"] = in_flight;
    out["rtt_ms"] = wire::measured(origin.rtt_ms);
    out["share"] = wire::measured(origin.share);
    out["held_s"] = wire::measured(origin.held_s);
    out["override"] = nullptr;
    if (origin.by_operator) out["override"] = override_json(*origin.by_operator);
    json::array checks;
    for (const auto& check : origin.checks)
        checks.push_back(json::object{{"name", printable(check.name)},
                                      {"needs", check.needs},
                                      {"failing", check.state.failing},
                                      {"last", health::name(check.state.last)},
                                      {"since", time_json(check.state.since)}});
    out["checks"] = std::move(checks);
    json::array addresses;
    for (const auto& address : origin.addresses) addresses.push_back(address_json(address));
    out["addresses"] = std::move(addresses);
    out["dns"] = nullptr;
    if (origin.by_name)
        out["dns"] = json::object{{"answer_age_s", wire::measured(origin.dns_age_s)},
                                  {"ttl_s", origin.dns_ttl_s},
                                  {"dropped", origin.dns_dropped},
                                  {"error", text_or_null(origin.resolve_error)}};
    return out;
}

json::object isolation_json(const control::Control::Status& status) {
    const auto& guard = status.isolation;
    json::array targets;
    for (const auto& target : status.control_targets)
        targets.push_back(json::object{{"target", target.name},
                                       {"answers", target.checked ? json::value(target.answers) : json::value(nullptr)},
                                       {"last", target.how},
                                       {"since", time_json(target.since)}});
    return {{"isolated", guard.isolated()},
            {"times", status.isolations},
            {"began", time_json(guard.began())},
            {"ended", guard.isolated() ? json::value(nullptr) : time_json(guard.ended())},
            {"last_answer", guard.is_on() ? time_json(guard.last_answer()) : json::value(nullptr)},
            {"control", std::move(targets)}};
}

json::array headroom_json(const control::Control::Status& status) {
    json::array out;
    for (const auto& row : status.headroom) {
        json::object takes;
        for (const auto& [name, count] : row.takes) takes[name] = count;
        out.push_back(json::object{{"lost_origin", row.origin},
                                   {"survivable", row.survivable},
                                   {"in_flight", row.loss.load},
                                   {"room", row.loss.placed},
                                   {"takes", std::move(takes)}});
    }
    return out;
}

json::array sites_json(const shared::Snapshot& snapshot) {
    json::array out;
    const auto& table = *snapshot.routing->table;
    for (std::size_t id = 0; id < table.sites.size(); ++id) {
        const auto& site = snapshot.routing->config.sites[id];
        json::array hosts, origins;
        for (const auto& host : site.hosts) hosts.emplace_back(*host);
        for (const auto origin : table.sites[id].origins) origins.emplace_back(table.origins[origin].name);
        out.push_back(json::object{{"name", site.name},
                                   {"hosts", std::move(hosts)},
                                   {"default", site.is_default},
                                   {"origins", std::move(origins)}});
    }
    return out;
}

json::object sessions_json(const shared::Registry& registry) {
    std::uint64_t open = 0, total = 0, exchanges = 0;
    for (unsigned i = 0; i < registry.workers(); ++i) {
        const auto& worker = registry.worker(i);
        // Ends first: what begins in between cannot make the difference negative.
        const auto closed = worker.sessions_closed.get(), finished = worker.exchanges_finished.get();
        const auto opened = worker.sessions_opened.get(), started = worker.exchanges_started.get();
        open += opened - closed;
        total += opened;
        exchanges += started - finished;
    }
    return {{"open", open}, {"total", total}, {"exchanges", exchanges}, {"workers", registry.workers()}};
}

}  // namespace

std::string printable(std::string text) {
    for (char& c : text)
        if (c < ' ' || c > '~') c = '?';
    return text;
}

json::value override_json(const control::OverrideRecord& record) {
    return json::object{{"order", health::name(record.order)},
                        {"author", record.author},
                        {"reason", record.why},
                        {"set", time_json(record.set)},
                        {"expires", time_json(record.expires)}};
}

std::string status_json(const shared::Snapshot& snapshot, const shared::Registry& registry,
                        const control::Control::Status& status) {
    json::array origins, databases, ranges, certificates;
    auto in_flight = in_flight_of(registry);
    for (const auto& origin : status.origins) origins.push_back(origin_json(origin, in_flight[origin.name]));
    for (const auto& database : status.databases)
        databases.push_back(json::object{{"name", database.name},
                                         {"type", printable(database.type)},
                                         {"built", time_json(database.built)},
                                         {"age_days", geo::age(database.built, system_clock::now()).count()},
                                         {"old", geo::is_old(database.built, system_clock::now())},
                                         {"lookup_errors", database.errors},
                                         {"problem", text_or_null(database.failure)}});
    for (const auto& each : status.ranges)
        ranges.push_back(json::object{{"file", each.file},
                                      {"service", each.service},
                                      {"networks", each.networks},
                                      {"problem", text_or_null(each.failure)}});
    for (const auto& certificate : status.certificates)
        certificates.push_back(
            json::object{{"certificate", certificate.certificate}, {"not_after", time_json(certificate.not_after)}});
    const json::object out{
        {"version", account::version()},
        {"ready", snapshot.ready && !registry.capacity.is_full()},
        {"at_limits", registry.capacity.is_full()},
        {"isolation", isolation_json(status)},
        {"headroom", headroom_json(status)},
        {"config", json::object{{"file", snapshot.routing->config.file},
                                {"generation", status.config_generation},
                                {"loaded", time_json(status.config_loaded)},
                                {"reloads_ok", status.reloads_ok},
                                {"reloads_failed", status.reloads_failed}}},
        {"snapshot_generation", snapshot.generation},
        {"sites", sites_json(snapshot)},
        {"origins", std::move(origins)},
        {"geo_databases", std::move(databases)},
        {"ip_ranges", std::move(ranges)},
        {"certificates", std::move(certificates)},
        {"sessions", sessions_json(registry)},
    };
    return wire::json_text(out) + "\n";
}

}  // namespace nearhop::admin
