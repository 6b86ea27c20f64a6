#include "proxy/shared/keyed_hash.h"

#include <stdexcept>
#include <sys/random.h>

namespace nearhop::shared {

std::array<std::uint64_t, 2> hash_secret() {
    std::array<std::uint64_t, 2> secret{};
    if (getrandom(secret.data(), sizeof secret, 0) != static_cast<ssize_t>(sizeof secret))
        throw std::runtime_error{"getrandom"};
    return {secret[0] | 1, secret[1] | 1};
}

}  // namespace nearhop::shared
