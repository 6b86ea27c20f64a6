#pragma once

#include "proxy/steering/locate.h"
#include "proxy/wire/head.h"

#include <span>

namespace nearhop::exchange {

/// Collects what `locate` reads from a request's fields. Only called for trusted peers.
steering::ViewerFields viewer_fields(std::span<const wire::Field> fields) noexcept;

}  // namespace nearhop::exchange
