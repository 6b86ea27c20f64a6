#pragma once

#include "health/verdict.h"
#include "proxy/wire/head.h"

#include <span>
#include <string_view>

namespace nearhop::origin {

/// What an origin's answer says of the origin itself, in a field of this name; the worst word where there are several.
health::Agent agent_of(std::span<const wire::Field> fields, std::string_view header) noexcept;

}  // namespace nearhop::origin
