#include "proxy/shared/pins.h"

#include "proxy/shared/keyed_hash.h"

#include <algorithm>

namespace nearhop::shared {

Pins::Pins() : Pins{0, 0} {
    const auto secret = hash_secret();
    a_ = secret[0];
    b_ = secret[1];
}

Pins::Pins(std::uint64_t a, std::uint64_t b) : a_{a | 1}, b_{b | 1} {}

void Pins::prepare(std::size_t entries) {
    sets_ = std::max<std::size_t>(1, (entries + ways - 1) / ways);
    entries_.assign(sets_ * ways, {});
}

/// The length goes in too, so that texts one after the other cannot be cut differently and mean the same.
std::uint64_t Pins::hash(std::uint64_t seed, std::string_view text) const noexcept {
    std::uint64_t out = mix(seed ^ text.size() ^ a_, b_);
    for (const char c : text) out = mix(out ^ static_cast<unsigned char>(c) ^ a_, b_ ^ seed);
    return out;
}

std::uint64_t Pins::request(std::string_view site, std::string_view method, std::string_view target,
                            std::string_view key) const noexcept {
    const std::uint64_t out = hash(hash(hash(hash(1, site), method), target), key);
    return out == 0 ? 1 : out;
}

std::uint64_t Pins::origin(std::string_view name) const noexcept {
    const std::uint64_t out = hash(2, name);
    return out == 0 ? 1 : out;
}

std::uint64_t Pins::find(std::uint64_t request, Time now) noexcept {
    const std::lock_guard lock{mutex_of(request)};
    const Entry* const set = set_of(request);
    for (std::size_t i = 0; i < ways; ++i)
        if (set[i].request == request && set[i].until > now) return set[i].origin;
    return 0;
}

Pins::Claim Pins::claim(std::uint64_t request, std::uint64_t origin, Time now, Time expiry) noexcept {
    const std::lock_guard lock{mutex_of(request)};
    Entry* const set = set_of(request);
    Entry* place = set;
    for (std::size_t i = 0; i < ways; ++i) {
        Entry& entry = set[i];
        if (entry.request == request && entry.until > now) {
            if (entry.origin == origin) entry.until = std::max(entry.until, now + expiry);
            return {entry.origin};
        }
        if (entry.until < place->until) place = &entry;
    }
    const bool forgot = place->until > now;
    *place = {request, origin, now + expiry};
    return {origin, forgot, true};
}

void Pins::release(std::uint64_t request, std::uint64_t origin) noexcept {
    const std::lock_guard lock{mutex_of(request)};
    Entry* const set = set_of(request);
    for (std::size_t i = 0; i < ways; ++i)
        if (set[i].request == request && set[i].origin == origin) set[i] = {};
}

}  // namespace nearhop::shared
