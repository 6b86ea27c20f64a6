#pragma once

/// Threads that a stopping process does not wait for, because they are in a write or a read that may never end. The
/// caller that leaves one behind notes it here: destructors of static objects must not run beside it, so main() then
/// ends by _exit().
namespace nearhop::loop {

void note_left_behind() noexcept;
bool any_left_behind() noexcept;

}  // namespace nearhop::loop
