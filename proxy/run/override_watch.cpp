#include "proxy/run/override_watch.h"

#include "proxy/run/logging.h"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <utility>

namespace nearhop::run {
namespace {

std::string state_file_of(const conf::Admin& admin) {
    if (!admin.state_file->empty()) return *admin.state_file;
    const char* folders = std::getenv("STATE_DIRECTORY");  // systemd's; several are separated by colons
    if (!folders || *folders != '/') return {};
    const std::string_view all = folders;
    return std::string{all.substr(0, all.find(':'))} + "/overrides.json";
}

void log_override(std::string_view event, const OverrideRecord& record) {
    const std::time_t until = std::chrono::system_clock::to_time_t(record.expires);
    std::tm parts{};
    gmtime_r(&until, &parts);
    char text[32] = "-";
    if (record.order != health::Override::none) std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    log_warning(event, {{"origin", record.origin},
                        {"override", health::name(record.order)},
                        {"author", record.author},
                        {"reason", record.why},
                        {"expires", text}});
}

}  // namespace

void OverrideWatch::restore(const conf::Admin& admin, loop::TimePoint now) {
    overrides_.set_file(state_file_of(admin));
    if (const auto problem = overrides_.load(std::chrono::system_clock::now(), now); !problem.empty())
        log_error("overrides_refused", {{"what", problem}});
    for (const auto& [name, record] : overrides_.all()) log_override("override_restored", record);
}

void OverrideWatch::follow(const conf::Admin& admin) {
    auto file = state_file_of(admin);
    if (file == overrides_.file()) return;
    overrides_.set_file(std::move(file));
    save();
}

std::optional<OverrideRecord> OverrideWatch::take(const OverrideOrder& order, loop::TimePoint now) {
    if (order.order == health::Override::none) {
        overrides_.remove(order.origin);
        log_override("override", {order.origin, order.order, order.author, order.why, {}, {}, {}});
        return std::nullopt;
    }
    const auto& record = overrides_.put(order, std::chrono::system_clock::now(), now);
    log_override("override", record);
    return record;
}

bool OverrideWatch::end(loop::TimePoint now) {
    const auto ended = overrides_.take_ended(now);
    for (const auto& record : ended) log_override("override_expired", record);
    return !ended.empty();
}

std::string OverrideWatch::save() {
    auto problem = overrides_.save();
    if (!problem.empty() && !overrides_.file().empty())
        log_error("overrides_not_saved", {{"what", problem}, {"held_in_memory", true}});
    return problem;
}

}  // namespace nearhop::run
