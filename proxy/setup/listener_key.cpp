#include "proxy/setup/listener_key.h"

#include <algorithm>

namespace nearhop::setup {

std::string text_of(const conf::ListenAddress& address) {
    const bool six = address.address.find(':') != std::string::npos;
    return (six ? "[" + address.address + "]" : address.address) + ":" + std::to_string(address.port);
}

std::string_view name(conf::ListenerKind kind) noexcept { return kind == conf::ListenerKind::https ? "https" : "http"; }

std::string key_of(const std::vector<conf::Listener>& listeners, std::size_t index) {
    const auto plain = [](const conf::Listener& listener) {
        return std::string{name(listener.kind)} + " " + text_of(*listener.address);
    };
    const auto key = plain(listeners[index]);
    const auto before = std::count_if(listeners.begin(), listeners.begin() + static_cast<std::ptrdiff_t>(index),
                                      [&](const conf::Listener& listener) { return plain(listener) == key; });
    return before == 0 ? key : key + " #" + std::to_string(before + 1);
}

}  // namespace nearhop::setup
