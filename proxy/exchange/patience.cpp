#include "proxy/exchange/patience.h"

namespace nearhop::exchange {

using loop::Socket;
using loop::TimePoint;

namespace {

/// How often to look at the path once others lost theirs there, so that a request ends no later than it must.
constexpr loop::milliseconds look_closely{20};

}  // namespace

bool Patience::turn_to(Awaits awaits, TimePoint since) noexcept {
    if (awaits_ == awaits && (since_ == since || awaits != Awaits::head)) return false;
    awaits_ = awaits;
    since_ = since;
    silence_at_ = path_at_ = vain_since_ = never;
    acknowledged_ = lost_ = asks_path_ = unanswered_ = false;
    return true;
}

void Patience::begin(const Wait& wait) noexcept {
    since_ = wait.since;
    if (awaits_ == Awaits::head)
        path_at_ = wait.since + std::max<loop::Clock::duration>(Socket::patience, 3 * wait.usual);
    if (wait.silence) silence_at_ = wait.since + *wait.silence;
}

Patience::Questions Patience::questions(TimePoint now, loop::Clock::duration head_timeout) const noexcept {
    Questions asks{.silence = now >= silence_at_, .others = now >= path_at_};
    // Once the peer's kernel has everything, there is nothing more to hear from ours, unless it asks.
    asks.delivery = asks.others && !lost_ && (!acknowledged_ || asks_path_);
    asks.trouble = asks.silence || asks.others || lost_ || head_is_late(now, head_timeout);
    return asks;
}

Patience::Step Patience::step(TimePoint now, const Facts& facts) noexcept {
    if (now >= facts.deadline)
        return {now, awaits_ == Awaits::dial ? Fault::origin_connect_timeout : Fault::origin_head_timeout,
                Why::deadline};
    Step step{facts.deadline};
    if (now >= silence_at_) silence_at_ = never;
    vain_since_ = facts.in_vain ? std::min(vain_since_, now) : never;
    const auto why = [&](Why reason, Fault fault) {
        step.why = reason;
        step.fault = fault;
    };
    if (facts.in_vain) why(Why::silent, Fault::origin_stalled);
    if (head_is_late(now, facts.head_timeout))
        why(Why::late, Fault::origin_head_timeout);
    else if (awaits_ == Awaits::head)
        step.until = std::min(step.until, since_ + facts.head_timeout);
    if (judge_path(now, facts, step)) why(Why::lost, Fault::origin_lost);

    if (step.why != Why::none && !facts.hedged && !facts.may_leave) {
        if (!is_hopeless(now, facts)) {
            why(Why::none, Fault::none);
            step.until = std::min(step.until, now + Socket::look_again);
        } else if (step.why == Why::silent) {
            step.fault = Fault::origin_head_timeout;
        }
    }
    step.until = std::min({step.until, silence_at_, path_at_});
    return step;
}

/// Whether the path of a request that waits longer than usual is lost. From then on the request goes by what others
/// learn of its address; where it cannot be moved, its own path is asked as well, and a probe: it ends only when all of
/// them say the same.
bool Patience::judge_path(TimePoint now, const Facts& facts, Step& step) noexcept {
    if (lost_ || now < path_at_) return lost_;
    path_at_ = now + (asks_path_ && facts.others_lost ? look_closely : Socket::look_again);
    if (!acknowledged_ || asks_path_) {
        step.path_lost = lost_ = facts.delivery == Delivery::lost;
        unanswered_ = facts.delivery == Delivery::unanswered;
        acknowledged_ = facts.delivery == Delivery::acknowledged || unanswered_;
    }
    if (lost_) {
        path_at_ = never;  // nothing more to find out
        return true;
    }
    if (acknowledged_ && !asks_path_ && facts.only_waits) step.ask_path = asks_path_ = true;
    step.want_probe = asks_path_;
    return facts.others_lost || facts.doubted;
}

/// Whether to give up a request that only waits, although its deadline is not over: its origin is dead, not slow.
/// Either its path is lost, or another's to the same address is and its own gives no sign, or for the whole time that
/// an answer may take neither a request nor a probe was answered there.
bool Patience::is_hopeless(TimePoint now, const Facts& facts) const noexcept {
    if (!facts.only_waits) return false;
    const bool late = now >= since_ + facts.head_timeout;
    if (late || now >= since_ + facts.connect_timeout)
        if (lost_ || (unanswered_ && facts.others_lost)) return true;
    return late && vain_since_ <= now - facts.connect_timeout && !facts.probe_passed;
}

}  // namespace nearhop::exchange
