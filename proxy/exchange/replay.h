#pragma once

#include "proxy/account/counters.h"
#include "proxy/wire/framing.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace nearhop::exchange {

/// Request body bytes that were sent once and may have to be sent again. Bounded per request and per worker.
class Replay {
public:
    /// `held`: by all requests of the worker; `gauge` shows it.
    Replay(std::uint64_t& held, account::Counter& gauge) noexcept : held_{held}, gauge_{gauge} {}
    ~Replay() { forget(); }
    Replay(const Replay&) = delete;
    Replay& operator=(const Replay&) = delete;

    /// `whole` when nothing of the body can be lost later on: no body, or one that fits.
    void begin(const wire::Framing& framing, std::uint64_t limit, std::uint64_t total_limit) noexcept;
    void remember(std::string_view bytes);
    bool whole() const noexcept { return whole_; }  ///< everything read from the client so far can be sent again
    std::string_view bytes() const noexcept { return bytes_; }

private:
    void forget() noexcept;
    std::uint64_t& held_;
    account::Counter& gauge_;
    std::string bytes_;
    std::uint64_t limit_ = 0;
    std::uint64_t total_limit_ = 0;
    bool whole_ = true;
};

}  // namespace nearhop::exchange
