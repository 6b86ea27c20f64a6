#include "proxy/account/logging.h"
#include "proxy/account/version.h"
#include "proxy/admin/family.h"
#include "proxy/admin/metrics.h"

#include <chrono>
#include <map>
#include <string>

namespace nearhop::admin {
namespace {

double seconds_since_epoch(std::chrono::system_clock::time_point time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

void add_databases(Families& out, const control::Control::Status& status) {
    Family built = gauge("nearhop_geo_database_built_timestamp_seconds", "When the geo database in use was built.");
    Family old = gauge("nearhop_geo_database_old", "1 while the geo database in use is old: built over 45 days ago.");
    Family errors = counter("nearhop_geo_database_errors_total", "Look-ups that met a corrupt record.");
    Family changes =
        counter("nearhop_geo_database_changes_total", "Changed database files, taken into use or refused.");
    std::vector<std::string> paths;
    paths.reserve(status.databases.size());
    for (const auto& database : status.databases) paths.push_back(database.name);
    const auto names = short_names(paths);
    std::map<std::string_view, bool> seen;
    const auto now = std::chrono::system_clock::now();
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (!seen.emplace(names[i], true).second) continue;  // the same file, listed twice
        built.add({{"database", names[i]}}, seconds_since_epoch(status.databases[i].built));
        old.add({{"database", names[i]}}, std::uint64_t{geo::is_old(status.databases[i].built, now)});
        errors.add({{"database", names[i]}}, status.databases[i].errors);
    }
    changes.add({{"result", "ok"}}, status.databases_replaced);
    changes.add({{"result", "failed"}}, status.databases_refused);
    Family bytes = gauge("nearhop_geo_database_bytes", "Memory of all geo databases in use, old ones included.");
    bytes.add({}, geo::Database::bytes_in_use());
    take_all(out, built, old, errors, changes, bytes);
}

void add_ranges(Families& out, const control::Control::Status& status) {
    Family networks = gauge("nearhop_ip_ranges_networks", "Networks in force of a service that is trusted by file.");
    Family changes = counter("nearhop_ip_ranges_changes_total", "Changed ip_ranges files, taken into use or refused.");
    std::map<std::string_view, bool> seen;
    for (const auto& each : status.ranges)
        if (seen.emplace(each.service, true).second)
            networks.add({{"service", each.service}}, static_cast<std::uint64_t>(each.networks));
    changes.add({{"result", "ok"}}, status.ranges_replaced);
    changes.add({{"result", "failed"}}, status.ranges_refused);
    take_all(out, networks, changes);
}

void add_certificates(Families& out, const control::Control::Status& status) {
    Family expiry = gauge("nearhop_certificate_expiry_timestamp_seconds", "When the certificate expires.");
    std::vector<std::string> paths;
    paths.reserve(status.certificates.size());
    for (const auto& certificate : status.certificates) paths.push_back(certificate.certificate);
    const auto names = short_names(paths);
    std::map<std::string_view, bool> seen;
    for (std::size_t i = 0; i < names.size(); ++i)
        if (seen.emplace(names[i], true).second)
            expiry.add({{"certificate", names[i]}}, seconds_since_epoch(status.certificates[i].not_after));
    take_all(out, expiry);
}

void add_isolation(Families& out, const control::Control::Status& status) {
    Family isolated = gauge("nearhop_isolated", "1 while this edge regards itself as cut off; verdicts freeze.");
    isolated.add({}, status.isolation.isolated() ? 1.0 : 0.0);
    Family times = counter("nearhop_isolations_total", "Times that this edge was cut off.");
    times.add({}, status.isolations);
    Family targets =
        gauge("nearhop_control_target_answers", "1 while the control target answers, 0 while it does not.");
    for (const auto& target : status.control_targets)
        if (target.checked) targets.add({{"target", target.name}}, target.answers ? 1.0 : 0.0);
    take_all(out, isolated, times, targets);
}

}  // namespace

void add_edge(Families& out, const shared::Registry& registry, const control::Control::Status& status) {
    add_databases(out, status);
    add_ranges(out, status);
    add_certificates(out, status);
    add_isolation(out, status);
    Family generation = gauge("nearhop_config_generation", "Configurations loaded since the start; 1 is the first.");
    generation.add({}, status.config_generation);
    Family loaded = gauge("nearhop_config_loaded_timestamp_seconds", "When the configuration in use was loaded.");
    loaded.add({}, seconds_since_epoch(status.config_loaded));
    Family reloads =
        counter("nearhop_reloads_total", "Reloads by result; after a failed one the old configuration stays.");
    reloads.add({{"result", "ok"}}, status.reloads_ok);
    reloads.add({{"result", "failed"}}, status.reloads_failed);
    Family dropped = counter("nearhop_access_log_dropped_total", "Access lines lost to a slow reader or a full disk.");
    std::uint64_t lines = registry.log_write_dropped.get();
    for (unsigned i = 0; i < registry.workers(); ++i) lines += registry.worker(i).log_dropped.get();
    dropped.add({}, lines);
    Family lost =
        counter("nearhop_event_log_dropped_total", "Lines of the event log lost to a slow reader or a full disk.");
    lost.add({}, account::event_lines_lost());
    Family failures =
        counter("nearhop_task_failures_total", "Times that a task of the control thread failed and restarted.");
    for (std::size_t i = 0; i < account::duty_count; ++i)
        failures.add({{"task", name(static_cast<account::Duty>(i))}}, registry.task_failures[i].get());
    Family build = gauge("nearhop_build_info", "Always 1; the label says what runs.");
    build.add({{"version", account::version()}}, 1.0);
    take_all(out, generation, loaded, reloads, dropped, lost, failures, build);
}

}  // namespace nearhop::admin
