#pragma once

namespace nearhop::health {

/// When results turn a state, for verdicts and named checks alike. `fall` failures turn good to bad; only `rise` passes
/// in a row reset their count, so sporadic failures add up (with fall 3, F P F P F is bad). `rise` passes in a row turn
/// bad to good.
class Hysteresis {
public:
    /// True if `passed` turns the state, which is `good` or not.
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
    /// A count runs that may turn `good`.
    bool counting(bool good) const noexcept { return good ? failures_ > 0 : successes_ > 0; }

private:
    unsigned failures_ = 0;   ///< while good
    unsigned successes_ = 0;  ///< in a row; while bad, or while failures are counted
};

}  // namespace nearhop::health
