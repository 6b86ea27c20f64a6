#pragma once

#include "proxy/client/sessions.h"
#include "proxy/loop/loop.h"

#include <memory>
#include <string>

namespace nearhop::client {

/// Opens a listening socket with SO_REUSEPORT, so that every worker has one of its own. -1 with `error` set on
/// failure. `address.port` is filled in when it was 0.
int open_listener(conf::ListenAddress& address, std::string& error);

/// The error of listening there now; empty: none. Opens nothing. With SO_REUSEPORT alone, a second edge could start and
/// silently take half of the first one's connections.
int bind_error(const conf::ListenAddress& address);  ///< the same as an errno; 0: none
std::string why_not_free(const conf::ListenAddress& address);

/// One worker's listening socket: accepts and starts sessions. Out of descriptors it pauses instead of spinning.
class Listener final : public loop::Watch, private loop::Notify {
public:
    Listener(exchange::Context& context, Sessions& sessions, int descriptor,
             std::shared_ptr<const ListenerFacts> facts);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    void update(std::shared_ptr<const ListenerFacts> facts) noexcept { facts_ = std::move(facts); }

private:
    void on_events(std::uint32_t events) noexcept override;
    void notify() noexcept override;  ///< timer: try again
    bool accept_some() noexcept;

    exchange::Context& context_;
    Sessions& sessions_;
    int descriptor_;
    std::shared_ptr<const ListenerFacts> facts_;
    loop::Timer pause_;
};

}  // namespace nearhop::client
