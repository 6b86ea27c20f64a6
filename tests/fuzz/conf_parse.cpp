#include "conf/parse.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

/// Any bytes give a configuration or a problem, never an exception, and every problem can be printed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view yaml{reinterpret_cast<const char*>(data), size};
    const auto result = nearhop::conf::parse(yaml, "fuzz/nearhop.yaml");
    if (result.config.has_value() == nearhop::conf::has_errors(result.problems)) std::abort();
    if (result.config && (result.config->sites.empty() || result.config->origins.empty())) std::abort();
    for (const auto& problem : result.problems)
        if (nearhop::conf::to_string(problem, "f").find('\n') != std::string::npos) std::abort();
    return 0;
}
