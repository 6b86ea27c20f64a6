#pragma once

namespace nearhop::health {

/// When results turn a state, for verdicts and named checks alike: `fall` failures make good bad, where only `rise`
/// passes in a row reset their count, so that sporadic failures add up (with fall 3, F P F P F is bad); `rise` passes
/// in a row make bad good.
class Hysteresis {
public:
    /// True when `passed` turns what was `good` until now, or not.
    bool turns(bool good, bool passed, unsigned fall, unsigned rise) noexcept {
        if (!good) {
            successes_ = passed ? successes_ + 1 : 0;
            return successes_ >= rise && reset();
        }
        if (!passed) {
            successes_ = 0;
            return ++failures_ >= fall && reset();
        }
        if (failures_ > 0 && ++successes_ >= rise) reset();
        return false;
    }
    bool reset() noexcept {
        failures_ = successes_ = 0;
        return true;
    }
    /// Something is being counted that may turn `good`.
    bool counting(bool good) const noexcept { return good ? failures_ > 0 : successes_ > 0; }

private:
    unsigned failures_ = 0;   ///< while good
    unsigned successes_ = 0;  ///< in a row; while bad, or while failures are counted
};

}  // namespace nearhop::health
