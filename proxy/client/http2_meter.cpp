#include "proxy/client/http2_meter.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <chrono>

namespace nearhop::client {

using admin::Http2End;

bool TokenBucket::take(loop::TimePoint now) noexcept {
    const auto passed = std::chrono::duration_cast<loop::milliseconds>(now - filled_);
    if (passed.count() > 0) {
        // Longer than it takes to fill from empty adds nothing, and cannot overflow.
        const std::int64_t counted = std::min<std::int64_t>(passed.count(), 1'000'000);
        tokens_ = std::min(most_, tokens_ + rate_ * counted);
        filled_ += passed;
    }
    if (tokens_ < 1000) return false;
    tokens_ -= 1000;
    return true;
}

void TokenBucket::give(unsigned tokens) noexcept { tokens_ = std::min(most_, tokens_ + std::int64_t{tokens} * 1000); }

Http2End Http2Meter::frame(std::uint8_t type, std::uint8_t flags, std::size_t length, loop::TimePoint now) noexcept {
    const bool ends = (flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (type) {
        case NGHTTP2_RST_STREAM: return resets_.take(now) ? Http2End::open : Http2End::rapid_reset;
        case NGHTTP2_DATA:
            if (length != 0 || ends) return Http2End::open;
            return empty_.take(now) ? Http2End::open : Http2End::empty_frames;
        case NGHTTP2_HEADERS:
        case NGHTTP2_CONTINUATION:
            if (length != 0) return Http2End::open;
            return empty_.take(now) ? Http2End::open : Http2End::empty_frames;
        default: return control_.take(now) ? Http2End::open : Http2End::control_flood;
    }
}

Http2End Http2Meter::padding(loop::TimePoint now) noexcept {
    return empty_.take(now) ? Http2End::open : Http2End::empty_frames;
}

Http2End Http2Meter::edge_reset(loop::TimePoint now) noexcept {
    return edge_resets_.take(now) ? Http2End::open : Http2End::made_reset;
}

}  // namespace nearhop::client
