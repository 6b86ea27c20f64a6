#include "proxy/exchange/replay.h"

namespace nearhop::exchange {

void Replay::begin(const wire::Framing& framing, std::uint64_t limit, std::uint64_t total_limit) noexcept {
    limit_ = limit;
    total_limit_ = total_limit;
    // A body that is announced too long is not copied at all: it stops being whole with its first byte.
    if (framing.kind == wire::Framing::Kind::length && framing.length > limit) limit_ = 0;
}

void Replay::remember(std::string_view bytes) {
    if (!whole_ || bytes.empty()) return;
    if (bytes_.size() + bytes.size() > limit_ || held_ + bytes.size() > total_limit_) {
        forget();
        whole_ = false;
        return;
    }
    bytes_ += bytes;
    held_ += bytes.size();
    gauge_.add(bytes.size());
}

void Replay::forget() noexcept {
    held_ -= bytes_.size();
    gauge_.subtract(bytes_.size());
    bytes_.clear();
}

}  // namespace nearhop::exchange
