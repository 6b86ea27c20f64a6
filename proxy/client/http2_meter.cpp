#include "proxy/client/http2_meter.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <chrono>

namespace nearhop::client {

using account::Http2End;

std::uint32_t TokenBucket::milliseconds_of(loop::TimePoint time) noexcept {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<loop::milliseconds>(time.time_since_epoch()).count());
}

bool TokenBucket::take(loop::TimePoint now) noexcept {
    const auto time = milliseconds_of(now);
    const auto passed = static_cast<std::int32_t>(time - filled_);
    if (passed > 0) {
        const std::uint64_t filled = tokens_ + std::uint64_t{rate_} * static_cast<std::uint32_t>(passed);
        tokens_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(most_, filled));
        filled_ = time;
    }
    if (tokens_ < 1000) return false;
    tokens_ -= 1000;
    return true;
}

void TokenBucket::give(unsigned tokens) noexcept {
    tokens_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(most_, tokens_ + std::uint64_t{tokens} * 1000));
}

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
        case NGHTTP2_WINDOW_UPDATE: return reply(now);
        default: return control(now);
    }
}

void Http2Meter::sent_data(std::size_t bytes, bool all) noexcept {
    if (bytes < per_reply && !all) return;
    control_.give(2);
    const auto due = 2 * std::max(static_cast<std::uint32_t>(bytes / per_reply), 1u);
    replies_ = std::min(replies_ + due, most_replies);
}

Http2End Http2Meter::reply(loop::TimePoint now) noexcept {
    if (replies_ == 0) return control(now);
    --replies_;
    return Http2End::open;
}

Http2End Http2Meter::control(loop::TimePoint now) noexcept {
    return control_.take(now) ? Http2End::open : Http2End::control_flood;
}

Http2End Http2Meter::padding(loop::TimePoint now) noexcept {
    return empty_.take(now) ? Http2End::open : Http2End::empty_frames;
}

Http2End Http2Meter::edge_reset(loop::TimePoint now) noexcept {
    return edge_resets_.take(now) ? Http2End::open : Http2End::made_reset;
}

}  // namespace nearhop::client
