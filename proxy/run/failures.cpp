#include "proxy/run/failures.h"

#include "proxy/run/logging.h"

namespace nearhop::run {

void log_failure(std::string_view task, const std::exception& error) noexcept {
    try {
        log_error("task_failed", {{"task", task}, {"what", error.what()}});
    } catch (const std::exception&) {  // not even for the line
        log_event(LogLevel::error, "task_failed", std::string_view{});
    }
}

void note_failure(admin::Registry& registry, admin::Duty duty, const std::exception& error) noexcept {
    registry.task_failures[static_cast<std::size_t>(duty)].add();
    log_failure(admin::name(duty), error);
}

}  // namespace nearhop::run
