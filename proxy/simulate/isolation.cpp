#include "proxy/simulate/verdicts.h"

#include <algorithm>
#include <utility>

/// Whether the edge itself is cut off: what proxy/control/isolation_watch.cpp and control.cpp do.
namespace nearhop::simulate {

void Verdicts::plan_check(Control& control, TimePoint due) {
    control.due = due;
    events_.at(due, [this, &control, number = ++control.plan] {
        if (number == control.plan && !control.checking) check(control);
    });
}

void Verdicts::check(Control& control) {
    const auto& settings = scenario_.config.isolation;
    control.checking = true;
    control.began = events_.now();
    const Trouble trouble = network_.control_fault().trouble;
    const bool no_way = trouble == Trouble::unreachable;
    const bool silence = no_way || trouble == Trouble::blackhole || trouble == Trouble::hang;
    const milliseconds took = silence && !no_way ? settings.timeout : milliseconds{1};
    events_.after(took, [this, &control, &settings, silence] {
        control.checking = false;
        if (!silence) {
            heard(control.name, events_.now());
        } else {
            if (guard_.suspects() && !guard_.isolated()) read_traffic();
            if (guard_.target_silent(control.name, control.began, events_.now())) on_isolation({});
        }
        const bool failing = guard_.isolated() || guard_.suspects();
        const auto next = control.began + (failing ? settings.interval_failing : settings.interval);
        plan_check(control, std::max(next, events_.now() + milliseconds{1}));
    });
}

void Verdicts::heard(std::string_view who, TimePoint earliest) {
    if (guard_.answered(earliest, std::max(earliest, events_.now()))) on_isolation(who);
}

void Verdicts::silent(geo::OriginId id) {
    if (!guard_.is_on()) return;
    if (guard_.origin_silent(scenario_.config.origins[id].name, events_.now())) return on_isolation({});
    if (!guard_.suspects()) return;
    for (Control& control : controls_) {
        const auto due = std::max(events_.now(), control.began + scenario_.config.isolation.interval_failing);
        if (!control.checking && due < control.due) plan_check(control, due);
    }
}

void Verdicts::note_failure(geo::OriginId id) {
    Origin& origin = origins_[id];
    if (guard_.is_on() && !guard_.isolated())
        origin.before.note(origin.monitor, origin.failback, guard_.last_answer(), events_.now());
}

/// False when it says nothing of the origin.
bool Verdicts::hear(geo::OriginId id, health::Passive result, health::Reason reason) {
    const bool is_good = health::is_good(result);
    if (!is_good) note_failure(id);
    if (is_good || health::sign_of(reason) == health::Sign::answered)
        heard(scenario_.config.origins[id].name, events_.now());
    else if (health::sign_of(reason) == health::Sign::silent)
        silent(id);
    return is_good || !traffic_is_ours();
}

void Verdicts::on_isolation(std::string_view by) {
    std::string taken_back;
    for (std::size_t id = 0; id < origins_.size(); ++id) {
        Origin& origin = origins_[id];
        if (guard_.isolated()) {
            const auto was = origin.monitor.state();
            origin.before.take_back(origin.monitor, origin.failback, guard_.last_answer(), events_.now());
            const auto is = origin.monitor.state();
            if (was.verdict != is.verdict || was.ejected != is.ejected)
                taken_back += (taken_back.empty() ? "" : ",") + scenario_.config.origins[id].name;
            hurry(static_cast<geo::OriginId>(id));
            continue;
        }
        origin.failback.stand_still(guard_.ended() - guard_.began());
        for (Address& address : origin.addresses) {
            const auto spread = std::chrono::duration<double, std::milli>{origin.intervals.transitional};
            const auto due =
                events_.now() + std::chrono::duration_cast<health::Clock::duration>(spread * random_.fraction());
            if (address.probed && !address.probing && due < address.due)
                plan(static_cast<geo::OriginId>(id), address, due);
        }
    }
    tell(guard_.isolated() ? "edge=isolated taken_back=" + (taken_back.empty() ? std::string{"-"} : taken_back)
                           : "edge=back answered=" + std::string{by});
    publish();
}

}  // namespace nearhop::simulate
