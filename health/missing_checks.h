#pragma once

#include "health/verdict.h"

#include <cstddef>

namespace nearhop::health {

/// Notices configured checks that no health body of an origin has told of since the start: nothing that they are to
/// move will ever move, and a typing error in a name looks no different.
class MissingChecks {
public:
    /// What a body said of the first `count` checks. After the first `patience` bodies, once: the checks that were in
    /// none of them.
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
