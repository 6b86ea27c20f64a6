#include "proxy/run/failures.h"

#include "proxy/loop/loop.h"
#include "proxy/run/logging.h"

#include <array>
#include <chrono>

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
    static std::array<loop::TimePoint, admin::duty_count> told{};
    auto& last = told[static_cast<std::size_t>(duty)];
    const auto now = loop::Clock::now();
    if (last != loop::TimePoint{} && now - last < std::chrono::seconds{1}) return;
    last = now;
    log_failure(admin::name(duty), error);
}

}  // namespace nearhop::run
