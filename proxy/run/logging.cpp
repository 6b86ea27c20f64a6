#include "proxy/run/logging.h"

#include "proxy/run/log_text.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace nearhop::run {
namespace {

spdlog::level::level_enum level_of(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::debug: return spdlog::level::debug;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::warning: return spdlog::level::warn;
        case LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

spdlog::logger& logger() {
    static const std::shared_ptr<spdlog::logger> made = [] {
        auto fresh = std::make_shared<spdlog::logger>("events", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        fresh->set_pattern("time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v", spdlog::pattern_time_type::utc);
        fresh->set_level(spdlog::level::info);
        fresh->flush_on(spdlog::level::debug);
        spdlog::set_default_logger(fresh);
        return fresh;
    }();
    return *made;
}

void write(LogLevel level, const std::string& line) {
    // The line is data: the overload for plain text, never a format string.
    logger().log(level_of(level), spdlog::string_view_t{line.data(), line.size()});
}

}  // namespace

void set_log_level(std::string_view level) { logger().set_level(spdlog::level::from_str(std::string{level})); }

void log_event(LogLevel level, std::string_view event, LogFields fields) {
    if (!logger().should_log(level_of(level))) return;
    std::string line;
    append_logfmt(line, "event", event);
    for (const LogField& field : fields) append_logfmt(line, field.key, field.value);
    write(level, line);
}

void log_event(LogLevel level, std::string_view event, std::string_view fields) {
    if (!logger().should_log(level_of(level))) return;
    std::string line;
    append_logfmt(line, "event", event);
    if (!fields.empty()) line.append(" ").append(fields);
    write(level, line);
}

}  // namespace nearhop::run
