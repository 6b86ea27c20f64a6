#pragma once

#include "conf/config.h"
#include "health/isolation.h"
#include "health/schedule.h"
#include "proxy/control/control_check.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::control {

/// Drives health::Isolation on the control thread: checks the control targets, and receives from the origins' watches
/// the results of probes and live traffic. Lives as long as the control thread; a reload keeps what is known.
class IsolationWatch {
public:
    /// `decide` runs before silence counts as the end of the network: it reports answers that were not reported yet.
    /// `changed`: isolated() changed, `by` says what answered. `failed` receives exceptions from inside.
    struct Notices {
        std::function<void()> decide;
        std::function<void(std::string_view by)> changed;
        std::function<void(const std::exception&)> failed;
    };
    IsolationWatch(loop::Loop& loop, std::function<double()> dice, Notices notices);
    IsolationWatch(const IsolationWatch&) = delete;
    IsolationWatch& operator=(const IsolationWatch&) = delete;

    /// `grace`: the longest that a request of live traffic may wait for what will fail.
    void configure(const conf::Isolation& settings, const std::vector<std::string>& origins, loop::milliseconds grace);

    // What watches of origins, by name, tell.
    void answered(std::string_view origin, loop::TimePoint earliest, loop::TimePoint latest);
    void silent(std::string_view origin);

    bool is_on() const noexcept { return guard_.is_on(); }
    bool isolated() const noexcept { return guard_.isolated(); }
    /// An origin is silent, and not every target was asked yet: at the start, too early to believe a verdict.
    bool in_doubt() const noexcept;
    /// A probe that began then failed for a reason of ours.
    bool is_ours(loop::TimePoint began) const noexcept { return guard_.is_ours(began); }
    /// The same of an attempt of live traffic that failed now: when it began is not known, but not longer ago than
    /// `grace`.
    bool traffic_is_ours() const noexcept { return guard_.is_ours(loop_.now() - grace_); }
    const health::Isolation& guard() const noexcept { return guard_; }

    struct Target {
        std::string name;
        bool checked = false;
        bool answers = false;
        std::string_view how = "-";
        loop::TimePoint since{};  ///< of the last change of `answers`
    };
    std::vector<Target> targets() const;

private:
    struct Control {
        Control(loop::Loop& loop, const conf::ControlTarget& target)
            : check{loop, target}, wake{loop}, timer{loop, wake} {}
        Target shown;
        ControlCheck check;
        loop::Wake wake;
        loop::Timer timer;
        loop::TimePoint began{}, due{};
        bool checking = false;
        bool told = false;     ///< the log knows that it is silent
        unsigned in_vain = 0;  ///< checks in a row
        loop::Task<> task;     // last: ends before what it uses
    };

    loop::Task<> keep_checking(Control& control);
    void learn(Control& control, const ControlCheck::Outcome& outcome);
    loop::TimePoint next_check(const Control& control) const;
    void hurry();

    loop::Loop& loop_;
    std::function<double()> dice_;
    Notices notices_;
    health::Isolation guard_;
    conf::Isolation settings_;
    loop::milliseconds grace_{};
    std::vector<std::unique_ptr<Control>> controls_;
};

}  // namespace nearhop::control
