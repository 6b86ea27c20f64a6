#include "proxy/origin/agent.h"

#include "health/body.h"

namespace nearhop::origin {

health::Agent agent_of(std::span<const wire::Field> fields, std::string_view header) noexcept {
    health::Agent worst = health::Agent::none;
    for (const auto& field : fields)
        if (wire::equal_ignoring_case(field.name, header))
            worst = std::max(worst, health::agent_word(field.value).value_or(health::Agent::none));
    return worst;
}

}  // namespace nearhop::origin
