#pragma once

#include "conf/config.h"
#include "health/isolation.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/shared/snapshot.h"

#include <string_view>

namespace nearhop::control {

/// Asks one control target whether the network still reaches it: by a TCP connection that is closed at once, or by a
/// DNS question of 17 bytes for the root's name servers. Both can be asked without privileges, and both are answered by
/// a refusal as well. One check at a time.
class ControlCheck {
public:
    struct Outcome {
        health::Sign sign = health::Sign::none;  ///< none: the edge itself was short of something
        std::string_view how = "-";              ///< "connected", "refused", "answer", "timeout", "unreachable", ...
        loop::TimePoint began{};
    };

    ControlCheck(loop::Loop& loop, const conf::ControlTarget& target);
    ControlCheck(const ControlCheck&) = delete;
    ControlCheck& operator=(const ControlCheck&) = delete;

    /// Never longer than `timeout`. Dropping the Task ends it.
    loop::Task<Outcome> check(loop::milliseconds timeout);

private:
    loop::Task<Outcome> connect(int descriptor, loop::TimePoint deadline);
    loop::Task<Outcome> question(int descriptor, loop::TimePoint deadline);

    conf::ControlTarget target_;
    shared::Endpoint endpoint_;
    loop::Wake wake_;
    loop::Timer timer_;
    std::uint16_t number_ = 0;  ///< of the last DNS question
};

}  // namespace nearhop::control
