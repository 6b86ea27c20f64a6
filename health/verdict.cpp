#include "health/verdict.h"

#include <algorithm>
#include <type_traits>

namespace nearhop::health {

static_assert(std::is_trivially_copyable_v<State>);

bool Machine::on_probe(const ProbeResult& result, TimePoint now) {
    const bool returned = on_recovery(result.passed, result.began, now);
    const bool decided = count(result, now);
    update_changing();
    return returned || decided;
}

bool Machine::count(const ProbeResult& result, TimePoint now) {
    const bool good = state_.verdict != Verdict::down;
    const bool first = state_.verdict == Verdict::unknown && probes_.reset();
    if (good && !result.passed && !probes_.counting(good)) probes_failing_since_ = result.began;
    if (!first && !probes_.turns(good, result.passed, thresholds_.fall, thresholds_.rise)) return false;
    change(result.passed ? Verdict::up : Verdict::down, result.passed ? Reason::passed : result.reason, result.status,
           result.certificate, now);
    if (!result.passed) state_.failing_since = probes_failing_since_;
    return true;
}

bool Machine::on_recovery(bool passed, TimePoint began, TimePoint now) {
    if (state_.on_trial && passed && now - trial_since_ >= thresholds_.ejection) return end_trial();
    if (!state_.ejected || began <= ejected_at_) return false;
    recovery_ = passed ? recovery_ + 1 : 0;
    if (!passed || recovery_ < thresholds_.rise || now < state_.ejected_until) return false;
    state_.ejected = false;
    state_.ejected_for = Reason::none;
    state_.on_trial = true;
    state_.back_since = trial_since_ = now;
    trial_passes_ = 0;
    // Where the verdict is still down, its own reason says why the origin stays out.
    if (state_.verdict != Verdict::down) change(state_.verdict, Reason::passed, 0, CertificateProblem::none, now);
    update_changing();
    return true;
}

bool Machine::on_passive(Passive result, Reason reason, TimePoint now, double dice) {
    if (!thresholds_.passive || state_.ejected) return false;
    switch (result) {
        case Passive::ok: connect_failures_ = status_failures_ = 0; return false;
        case Passive::trial_passed:
            connect_failures_ = status_failures_ = 0;
            return state_.on_trial && ++trial_passes_ >= thresholds_.rise && end_trial();
        case Passive::connect_failed:
            if (connect_failures_ == 0) connects_failing_since_ = now;
            return (++connect_failures_ >= thresholds_.connect_failures || state_.on_trial) &&
                   eject(reason, connects_failing_since_, now, dice);
        case Passive::answered_failed:
            if (status_failures_ == 0) answers_failing_since_ = now;
            return (++status_failures_ >= thresholds_.status_failures || state_.on_trial) &&
                   eject(reason, answers_failing_since_, now, dice);
    }
    return false;
}

bool Machine::end_trial() noexcept {
    state_.on_trial = false;
    state_.ejections = 0;
    return true;
}

bool Machine::on_traffic(std::uint64_t successes, std::uint64_t failures, TimePoint now, double dice) {
    if (!thresholds_.passive || state_.ejected) return false;
    advance_buckets(now);
    const auto newest = static_cast<std::size_t>(bucket_second_) % buckets;
    ok_[newest] += successes;
    failed_[newest] += failures;

    const auto seconds = std::chrono::ceil<std::chrono::seconds>(thresholds_.ratio_window).count();
    const auto window = static_cast<std::size_t>(std::clamp<std::int64_t>(seconds, 1, buckets));
    std::uint64_t ok = 0, failed = 0;
    std::int64_t oldest_failure = bucket_second_;
    for (std::size_t age = 0; age < window; ++age) {
        const auto at = (newest + buckets - age) % buckets;
        ok += ok_[at];
        failed += failed_[at];
        if (failed_[at] > 0) oldest_failure = bucket_second_ - static_cast<std::int64_t>(age);
    }
    const bool bad = failed > 0 && ok + failed >= thresholds_.ratio_minimum &&
                     failed * 100 >= (ok + failed) * thresholds_.ratio_percent;
    return bad && eject(Reason::ratio, TimePoint{std::chrono::seconds{oldest_failure}}, now, dice);
}

bool Machine::set_verdict(Verdict verdict, const State& why, TimePoint now) {
    if (state_.verdict == verdict) return false;
    change(verdict, why.reason, why.status, why.certificate, now);
    if (verdict == Verdict::down) state_.failing_since = why.failing_since;
    update_changing();
    return true;
}

bool Machine::eject(Reason reason, TimePoint failing_since, TimePoint now, double dice) {
    if (!state_.on_trial) {
        outage_since_ = now;
        state_.ejections = 0;
    }
    ++state_.ejections;
    using Milliseconds = std::chrono::duration<double, std::milli>;
    const Milliseconds least = thresholds_.ejection, most = thresholds_.ejection_max;
    const auto base = std::clamp(Milliseconds{now - outage_since_}, least, std::max(least, most));
    // At the cap the jitter only shortens, else half of all edges would return in the same instant.
    const auto jittered = base * (0.9 + (base < most ? 0.2 : 0.1) * dice);
    const auto lasts = std::chrono::duration_cast<milliseconds>(std::min(jittered, most));
    state_.ejected = true;
    state_.on_trial = false;
    state_.ejected_for = reason;
    state_.ejected_until = now + lasts;
    state_.failing_since = failing_since;
    ejected_at_ = now;
    recovery_ = connect_failures_ = status_failures_ = 0;
    std::fill(std::begin(ok_), std::end(ok_), 0);
    std::fill(std::begin(failed_), std::end(failed_), 0);
    change(state_.verdict, reason, 0, CertificateProblem::none, now);
    update_changing();
    return true;
}

void Machine::change(Verdict verdict, Reason reason, unsigned status, CertificateProblem certificate, TimePoint now) {
    if (state_.verdict == Verdict::down && verdict != Verdict::down) state_.back_since = now;
    state_.verdict = verdict;
    state_.reason = reason;
    state_.status = reason == Reason::status ? status : 0;
    state_.certificate = reason == Reason::tls_certificate ? certificate : CertificateProblem::none;
    state_.since = now;
}

void Machine::advance_buckets(TimePoint now) {
    const auto second = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
    const auto steps = std::min<std::int64_t>(second - bucket_second_, buckets);
    if (steps <= 0) return;
    for (std::int64_t back = 0; back < steps; ++back) {
        const auto at = static_cast<std::size_t>(second - back) % buckets;
        ok_[at] = failed_[at] = 0;
    }
    bucket_second_ = second;
}

void Machine::update_changing() noexcept {
    const bool down = state_.verdict == Verdict::down;
    state_.changing = probes_.counting(!down) || (state_.ejected && !down);
}

void Combine::add(Verdict verdict) noexcept {
    any_ = true;
    up_ |= verdict == Verdict::up;
    degraded_ |= verdict == Verdict::degraded;
    unknown_ |= verdict == Verdict::unknown;
}

Verdict Combine::verdict() const noexcept {
    if (up_) return Verdict::up;
    if (degraded_) return Verdict::degraded;
    return unknown_ || !any_ ? Verdict::unknown : Verdict::down;
}

}  // namespace nearhop::health
