#pragma once

#include "proxy/shared/registry.h"

#include <exception>
#include <string_view>

namespace nearhop::shared {

/// `event=task_failed task=... what=...`
void log_failure(std::string_view task, const std::exception& error) noexcept;

/// Something that the control thread does for ever threw, and goes on a moment later: counted, and told in the log, at
/// most once a second for each duty. Out of memory is the one reason that is to be expected. On the control thread.
void note_failure(Registry& registry, account::Duty duty, const std::exception& error) noexcept;

/// The same as a function, for loop::keep() and its like.
inline auto noting(Registry& registry, account::Duty duty) noexcept {
    return [&registry, duty](const std::exception& error) noexcept { note_failure(registry, duty, error); };
}

}  // namespace nearhop::shared
