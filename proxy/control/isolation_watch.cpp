#include "proxy/control/isolation_watch.h"

#include "conf/syntax.h"
#include "proxy/account/logging.h"
#include "proxy/loop/keeper.h"

#include <algorithm>
#include <utility>

namespace nearhop::control {
namespace {

using health::Sign;
using loop::TimePoint;

constexpr unsigned jitter = 20;          ///< percent: a fleet must not ask its resolver in step
constexpr unsigned in_vain_for_log = 3;  ///< a target that is gone alone is worth a line, one lost packet is not

}  // namespace

IsolationWatch::IsolationWatch(loop::Loop& loop, std::function<double()> dice, Notices notices)
    : loop_{loop}, dice_{std::move(dice)}, notices_{std::move(notices)} {}

void IsolationWatch::configure(const conf::Isolation& settings, const std::vector<std::string>& origins,
                               loop::milliseconds grace) {
    settings_ = settings;
    grace_ = grace;
    std::vector<std::unique_ptr<Control>> next;
    std::vector<std::string> names;
    std::vector<Control*> fresh;
    for (const auto& target : settings.control) {
        names.push_back(conf::to_string(*target));
        const auto known = std::find_if(controls_.begin(), controls_.end(),
                                        [&](const auto& each) { return each && each->shown.name == names.back(); });
        if (known != controls_.end()) {
            next.push_back(std::move(*known));
        } else {
            next.push_back(std::make_unique<Control>(loop_, *target));
            next.back()->shown.name = names.back();
            fresh.push_back(next.back().get());
        }
    }
    controls_ = std::move(next);
    if (guard_.follow(origins, names, loop_.now())) notices_.changed("reload");
    for (auto* control : fresh) {
        control->task = loop::keep(loop_, [this, control] { return keep_checking(*control); }, notices_.failed);
        control->task.start();
    }
    hurry();
}

void IsolationWatch::answered(std::string_view origin, TimePoint earliest, TimePoint latest) {
    if (guard_.answered(earliest, latest)) notices_.changed(origin);
}

void IsolationWatch::silent(std::string_view origin) {
    if (!guard_.is_on()) return;
    if (guard_.origin_silent(origin, loop_.now())) return notices_.changed({});
    hurry();
}

loop::Task<> IsolationWatch::keep_checking(Control& control) {
    for (;;) {
        control.timer.expires_at(control.due);
        while (loop_.now() < control.due) co_await control.wake.wait();
        control.began = loop_.now();
        struct Checking {
            bool& now;
            ~Checking() { now = false; }
        };
        ControlCheck::Outcome outcome;
        {
            const Checking checking{control.checking = true};
            outcome = co_await control.check.check(settings_.timeout);
        }
        learn(control, outcome);
        control.due = std::max(next_check(control), loop_.now() + loop::milliseconds{1});
    }
}

void IsolationWatch::learn(Control& control, const ControlCheck::Outcome& outcome) {
    if (outcome.sign == Sign::none) return;
    const bool answers = outcome.sign == Sign::answered;
    auto& shown = control.shown;
    if (!std::exchange(shown.checked, true) || shown.answers != answers) shown.since = loop_.now();
    shown.answers = answers;
    shown.how = outcome.how;
    control.in_vain = answers ? 0 : control.in_vain + 1;
    if (answers) {
        if (guard_.answered(loop_.now())) notices_.changed(shown.name);
    } else {
        // What live traffic met in the last moments is counted, but may not have been read.
        if (guard_.suspects() && !guard_.isolated()) notices_.decide();
        if (guard_.target_silent(shown.name, outcome.began, loop_.now())) notices_.changed({});
    }
    // While the edge is cut off all of them are silent, and one line says so.
    const bool silent = control.in_vain >= in_vain_for_log && !guard_.isolated();
    if (answers ? !control.told : control.told || !silent) return;
    control.told = !answers;
    account::log_event(answers ? account::LogLevel::info : account::LogLevel::warning, "control_target",
                       {{"target", shown.name}, {"answers", answers}, {"how", shown.how}});
}

TimePoint IsolationWatch::next_check(const Control& control) const {
    const bool turning = control.in_vain > 0 && control.in_vain < in_vain_for_log;
    const bool failing = guard_.isolated() || guard_.suspects() || turning;
    const health::Intervals intervals{settings_.interval, settings_.interval_failing, settings_.interval, jitter};
    health::State state;
    state.changing = failing;
    return health::next_probe(intervals, state, control.began, loop_.now(), dice_());
}

/// With the first sign of silence the targets are asked at once, so that it is soon known whose silence it is; not more
/// often than usual while one origin of several goes on being silent.
void IsolationWatch::hurry() {
    if (!guard_.suspects()) return;
    for (const auto& control : controls_) {
        if (control->checking || control->due <= loop_.now()) continue;
        const TimePoint due = std::max(loop_.now(), control->began + settings_.interval_failing);
        if (due >= control->due) continue;
        control->due = due;
        control->timer.expires_at(due);
        control->wake.notify();
    }
}

bool IsolationWatch::in_doubt() const noexcept {
    return guard_.suspects() &&
           std::any_of(controls_.begin(), controls_.end(), [](const auto& control) { return !control->shown.checked; });
}

std::vector<IsolationWatch::Target> IsolationWatch::targets() const {
    std::vector<Target> targets;
    targets.reserve(controls_.size());
    for (const auto& control : controls_) targets.push_back(control->shown);
    return targets;
}

}  // namespace nearhop::control
