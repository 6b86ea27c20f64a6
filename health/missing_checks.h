#pragma once

#include "health/verdict.h"

#include <cstddef>

namespace nearhop::health {

/// Finds configured checks that no health body of an origin has had since the start: they never move a request, and a
/// typo in a name looks the same.
class MissingChecks {
public:
    /// Takes a body's results for the first `count` checks. After the first `patience` bodies it returns, once, the
    /// checks that were in none of them.
    CheckSet look(const Findings& findings, std::size_t count, unsigned patience) noexcept {
        if (bodies_ >= patience) return 0;
        CheckSet missing = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const auto check = static_cast<CheckSet>(1u << i);
            if (findings.of[i] != Finding::missing) seen_ |= check;
            if ((seen_ & check) == 0) missing |= check;
        }
        return ++bodies_ == patience ? missing : CheckSet{0};
    }

private:
    CheckSet seen_ = 0;
    unsigned bodies_ = 0;
};

}  // namespace nearhop::health
