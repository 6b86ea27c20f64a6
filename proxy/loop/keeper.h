#pragma once

#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <exception>

namespace nearhop::loop {

/// A coroutine that is to live as long as its owner: begins `body`, a function that makes it, and begins it again a
/// second after it threw (no memory, in most cases). Without this it would be gone for good, unnoticed. Calls
/// `failed` each time, which must not throw. Ends when `body` does.
template <class Body, class Failed>
Task<> keep(Loop& loop, Body body, Failed failed) {
    constexpr milliseconds pause{1000};
    Wake wake{loop};
    Timer timer{loop, wake};
    for (;;) {
        try {
            co_await body();
            co_return;
        } catch (const std::exception& error) {
            failed(error);
        }
        timer.expires_after(pause);
        while (!timer.expired()) co_await wake.wait();
    }
}

}  // namespace nearhop::loop
