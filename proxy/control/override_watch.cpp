#include "proxy/control/override_watch.h"

#include "proxy/account/logging.h"
#include "proxy/loop/keeper.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <utility>

namespace nearhop::control {
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
    account::log_warning(event, {{"origin", record.origin},
                                 {"override", health::name(record.order)},
                                 {"author", record.author},
                                 {"reason", record.why},
                                 {"expires", text}});
}

}  // namespace

OverrideWatch::OverrideWatch(loop::Loop& loop, loop::Background& files,
                             std::function<void(const std::exception&)> failed)
    : loop_{loop}, files_{files}, wake_{loop} {
    saving_ = loop::keep(loop, [this] { return keep_saving(); }, std::move(failed));
    saving_.start();
}

void OverrideWatch::restore(const conf::Admin& admin, loop::TimePoint now) {
    overrides_.set_file(state_file_of(admin));
    if (const auto problem = overrides_.load(std::chrono::system_clock::now(), now); !problem.empty())
        account::log_error("overrides_refused", {{"what", problem}});
    for (const auto& [name, record] : overrides_.all()) log_override("override_restored", record);
}

std::optional<OverrideWatch::OtherFile> OverrideWatch::look_at(const conf::Admin& admin, const std::string& present) {
    auto file = state_file_of(admin);
    if (file == present) return std::nullopt;
    OtherFile other;
    other.orders.set_file(std::move(file));
    other.problem = other.orders.load(std::chrono::system_clock::now(), loop::Clock::now());
    return other;
}

void OverrideWatch::follow(const OtherFile& other) {
    old_files_.push_back(overrides_.file());
    overrides_.set_file(other.orders.file());
    for (const auto& record : overrides_.take_over(other.orders)) log_override("override_restored", record);
    save_soon();
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

void OverrideWatch::save_soon() {
    ++wanted_;
    wake_.notify();
}

loop::Task<std::string> OverrideWatch::save() {
    save_soon();
    const auto mine = wanted_;
    loop::Wake wake{loop_};
    waiting_.push_back(&wake);
    struct Leave {
        std::vector<loop::Wake*>& all;
        loop::Wake& wake;
        ~Leave() { std::erase(all, &wake); }
    } const leave{waiting_, wake};
    while (saved_ < mine) co_await wake.wait();
    co_return problem_;
}

/// One file at a time, and always the newest orders: several that come at once need one write.
loop::Task<> OverrideWatch::keep_saving() {
    for (;;) {
        while (saved_ == wanted_) co_await wake_.wait();
        const auto version = wanted_;
        const auto superseded = static_cast<std::ptrdiff_t>(old_files_.size());
        auto write = [orders = overrides_, old = old_files_] {
            auto problem = orders.save();
            if (problem.empty())
                for (const auto& file : old) orders.supersede(file);
            return problem;
        };
        std::string problem;
        try {
            problem = co_await files_.run(std::move(write));
            if (problem.empty()) old_files_.erase(old_files_.begin(), old_files_.begin() + superseded);
        } catch (const std::exception& error) {
            problem = error.what();
        }
        if (!problem.empty() && !overrides_.file().empty())
            account::log_error("overrides_not_saved", {{"what", problem}, {"held_in_memory", true}});
        problem_ = std::move(problem);
        saved_ = version;
        for (auto* waiter : waiting_) waiter->notify();
    }
}

}  // namespace nearhop::control
