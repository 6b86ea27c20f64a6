#include "proxy/account/logging.h"

#include "proxy/account/log_text.h"
#include "proxy/account/log_writer.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>

namespace nearhop::account {
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

/// Puts lines into the ring of the writer, where there is one. Once lines were lost, the next one that finds room says
/// how many, for those who do not look at the metric.
class EventSink final : public spdlog::sinks::base_sink<std::mutex>, private LogWriter::Owner {
public:
    void begin() {
        auto ring = std::make_shared<LogWriter::Ring>();
        LogWriter::Owner& owner = *this;
        auto fresh = std::make_unique<LogWriter>("stderr", std::vector{ring}, owner);
        const std::lock_guard lock{mutex_};
        ring_ = std::move(ring);
        writer_ = std::move(fresh);
    }
    /// What is logged from here on is written by who logs it.
    void end() noexcept {
        std::unique_ptr<LogWriter> old;
        {
            const std::lock_guard lock{mutex_};
            old = std::move(writer_);
        }
    }
    void put(std::string_view line) {
        const std::lock_guard lock{mutex_};
        put_locked(line);
    }
    void lines_lost(std::uint64_t count) noexcept override { lost_.fetch_add(count, std::memory_order_relaxed); }
    std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

private:
    void hear(LogWriter::News news, const std::string&) noexcept override {
        failing_.store(news == LogWriter::News::failed, std::memory_order_relaxed);
    }
    void sink_it_(const spdlog::details::log_msg& message) override {
        if (writer_) tell_of_losses(message);
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        put_locked({line.data(), line.size()});
    }
    void flush_() override {}

    void tell_of_losses(const spdlog::details::log_msg& next) {
        const auto lost = this->lost();
        // Not before lines get through again, or there would be one for each line that is lost.
        const bool flows = !failing_.load(std::memory_order_relaxed) && ring_->size() <= ring_->capacity() / 2;
        if (lost == told_ || !flows) return;
        const std::string text = "event=event_lines_lost lines=" + std::to_string(lost - told_);
        const spdlog::details::log_msg notice{next.time, {}, next.logger_name, spdlog::level::warn, text};
        spdlog::memory_buf_t line;
        formatter_->format(notice, line);
        if (ring_->push({line.data(), line.size()})) told_ = lost;
    }
    void put_locked(std::string_view line) {
        if (!writer_) {
            std::fwrite(line.data(), 1, line.size(), stderr);
            return;
        }
        if (!ring_->push(line)) lines_lost(1);
        writer_->wake();
    }

    std::atomic<std::uint64_t> lost_{0};
    std::atomic<bool> failing_{false};
    std::uint64_t told_ = 0;  // this and what follows: guarded by mutex_
    std::shared_ptr<LogWriter::Ring> ring_;
    std::unique_ptr<LogWriter> writer_;
};

// Neither is ever destroyed: a thread that was left behind at the end may still log.
EventSink& sink() {
    static auto& made = *new EventSink;
    return made;
}

spdlog::logger& logger() {
    static const auto& made = *new std::shared_ptr<spdlog::logger>{[] {
        // It shares the sink without owning it.
        auto fresh = std::make_shared<spdlog::logger>("events", spdlog::sink_ptr{&sink(), [](auto*) {}});
        fresh->set_pattern("time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v", spdlog::pattern_time_type::utc);
        fresh->set_level(spdlog::level::info);
        fresh->set_error_handler([](const std::string&) { sink().lines_lost(1); });  // its own writes to stderr
        spdlog::set_default_logger(fresh);
        return fresh;
    }()};
    return *made;
}

template <class Append>
void write(LogLevel level, std::string_view event, Append append) noexcept {
    try {
        auto& log = logger();
        if (!log.should_log(level_of(level))) return;
        std::string line;
        append_logfmt(line, "event", event);
        append(line);
        // The line is data: the overload for plain text, never a format string.
        log.log(level_of(level), spdlog::string_view_t{line.data(), line.size()});
    } catch (const std::exception&) {
        sink().lines_lost(1);
    }
}

}  // namespace

EventLog::EventLog() {
    logger();
    sink().begin();
}

EventLog::~EventLog() { sink().end(); }

std::uint64_t event_lines_lost() noexcept { return sink().lost(); }

void set_log_level(std::string_view level) { logger().set_level(spdlog::level::from_str(std::string{level})); }

void log_event(LogLevel level, std::string_view event, LogFields fields) noexcept {
    write(level, event, [&](std::string& line) {
        for (const LogField& field : fields) append_logfmt(line, field.key, field.value);
    });
}

void log_event(LogLevel level, std::string_view event, std::string_view fields) noexcept {
    write(level, event, [&](std::string& line) {
        if (!fields.empty()) line.append(" ").append(fields);
    });
}

void log_plain(std::string_view line) noexcept {
    try {
        logger();
        sink().put(std::string{line} + '\n');
    } catch (const std::exception&) {
        sink().lines_lost(1);
    }
}

}  // namespace nearhop::account
