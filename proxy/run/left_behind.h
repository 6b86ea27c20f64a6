#pragma once

/// Threads that a stopping process does not wait for, because they stand in a write or a read that may never end.
/// Whoever leaves one behind notes it: destructors of static objects must not run beside it, so main() then ends by
/// _exit().
namespace nearhop::run {

void note_left_behind() noexcept;
bool any_left_behind() noexcept;

}  // namespace nearhop::run
