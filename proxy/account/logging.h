#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

/// The event log: one logfmt line per event on stderr, for people and for machines.
///   time=2026-03-01T08:15:02.113Z level=info event=listening listener=https address=0.0.0.0:443
/// Nothing on the request path writes here; any thread may, and none waits while an EventLog lives.
namespace nearhop::account {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct LogField {
    LogField(std::string_view name, std::string_view text) : key{name}, value{text} {}
    LogField(std::string_view name, const std::string& text) : key{name}, value{text} {}
    LogField(std::string_view name, const char* text) : key{name}, value{text} {}
    LogField(std::string_view name, bool yes) : key{name}, value{yes ? "true" : "false"} {}
    template <std::integral Number>
        requires(!std::same_as<Number, bool>)
    LogField(std::string_view name, Number number) : key{name}, value{std::to_string(number)} {}

    std::string_view key;
    std::string value;
};
using LogFields = std::initializer_list<LogField>;

/// While it lives, a thread of its own writes the lines to stderr: a pipe that nobody reads, a stopped terminal or a
/// full disk loses lines, which are counted, and delays nobody. One per process; without one, who logs writes and
/// waits.
class EventLog {
public:
    EventLog();
    ~EventLog();  ///< writes what is queued, within five seconds
    EventLog(const EventLog&) = delete;
    EventLog& operator=(const EventLog&) = delete;
};

/// Lines that were lost since the process began.
std::uint64_t event_lines_lost() noexcept;

/// "debug", "info", "warning" or "error", as configured; also after a reload. Before the first call: info.
void set_log_level(std::string_view level);

/// Without memory for the line it is lost, and counted.
void log_event(LogLevel level, std::string_view event, LogFields fields = {}) noexcept;
/// For fields that are a logfmt text already, such as health::describe().
void log_event(LogLevel level, std::string_view event, std::string_view fields) noexcept;
/// A line for people, as it is: what is wrong with the configuration of a process that has not begun yet.
void log_plain(std::string_view line) noexcept;

inline void log_debug(std::string_view event, LogFields fields = {}) { log_event(LogLevel::debug, event, fields); }
inline void log_info(std::string_view event, LogFields fields = {}) { log_event(LogLevel::info, event, fields); }
inline void log_warning(std::string_view event, LogFields fields = {}) { log_event(LogLevel::warning, event, fields); }
inline void log_error(std::string_view event, LogFields fields = {}) { log_event(LogLevel::error, event, fields); }

}  // namespace nearhop::account
