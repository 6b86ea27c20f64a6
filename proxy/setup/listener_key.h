#pragma once

#include "conf/config.h"

#include <string>
#include <string_view>
#include <vector>

namespace nearhop::setup {

std::string text_of(const conf::ListenAddress& address);
std::string_view name(conf::ListenerKind kind) noexcept;

/// What a listener is known by over reloads: kind, address and, where several let the kernel choose a port, which one.
std::string key_of(const std::vector<conf::Listener>& listeners, std::size_t index);

}  // namespace nearhop::setup
