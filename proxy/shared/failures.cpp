#include "proxy/shared/failures.h"

#include "proxy/account/logging.h"
#include "proxy/loop/loop.h"

#include <array>
#include <chrono>

namespace nearhop::shared {

void log_failure(std::string_view task, const std::exception& error) noexcept {
    try {
        account::log_error("task_failed", {{"task", task}, {"what", error.what()}});
    } catch (const std::exception&) {  // not even for the line
        account::log_event(account::LogLevel::error, "task_failed", std::string_view{});
    }
}

void note_failure(Registry& registry, account::Duty duty, const std::exception& error) noexcept {
    registry.task_failures[static_cast<std::size_t>(duty)].add();
    static std::array<loop::TimePoint, account::duty_count> told{};
    auto& last = told[static_cast<std::size_t>(duty)];
    const auto now = loop::Clock::now();
    if (last != loop::TimePoint{} && now - last < std::chrono::seconds{1}) return;
    last = now;
    log_failure(name(duty), error);
}

}  // namespace nearhop::shared
