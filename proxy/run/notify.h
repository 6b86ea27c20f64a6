#pragma once

#include <string>
#include <string_view>

/// Tells the service manager how we are (sd_notify's protocol: one datagram to $NOTIFY_SOCKET), without its library.
/// Nobody listening is fine: every call is then a no-op.
namespace nearhop::run {

/// `state` is one or more "KEY=value" lines. False when there is a socket but the message could not be sent.
bool notify_manager(std::string_view state) noexcept;

inline bool notify_ready() noexcept { return notify_manager("READY=1"); }
inline bool notify_stopping() noexcept { return notify_manager("STOPPING=1"); }
bool notify_reloading() noexcept;                    ///< followed by notify_ready() when the reload is over
bool notify_status(std::string_view text) noexcept;  ///< one line for `systemctl status`

}  // namespace nearhop::run
