#include "proxy/loop/left_behind.h"

#include <atomic>

namespace nearhop::loop {
namespace {

std::atomic<bool> any{false};

}  // namespace

void note_left_behind() noexcept { any.store(true, std::memory_order_relaxed); }
bool any_left_behind() noexcept { return any.load(std::memory_order_relaxed); }

}  // namespace nearhop::loop
