#include "proxy/run/ranges_watch.h"

#include "proxy/run/logging.h"
#include "proxy/run/trusted.h"

#include <utility>

namespace nearhop::run {

void RangesWatch::follow(const std::vector<TrustedRanges>& ranges) {
    followed_.clear();
    stamps_.clear();
    for (const TrustedRanges& each : ranges) {
        followed_.push_back({each});
        stamps_.push_back(each.read_at);
    }
}

RangesWatch::Result RangesWatch::look() {
    Result result;
    for (std::size_t i = 0; i < followed_.size(); ++i) {
        auto& [ranges, failure] = followed_[i];
        const FileStamp stamp = FileStamp::of(ranges.file);
        if (std::exchange(stamps_[i], stamp) == stamp) continue;
        auto next = read_ranges(ranges.file, ranges.service, failure);
        if (failure.empty()) failure = too_short(ranges, next);
        if (!failure.empty()) {
            ++result.refused;
            log_error("ip_ranges_refused",
                      {{"file", ranges.file}, {"service", ranges.service}, {"error", failure}, {"kept", true}});
            continue;
        }
        ++result.replaced;
        log_info("ip_ranges", {{"file", ranges.file},
                               {"service", ranges.service},
                               {"networks", next.networks.size()},
                               {"before", ranges.networks.size()}});
        ranges = std::move(next);
    }
    return result;
}

std::vector<TrustedRanges> RangesWatch::in_use() const {
    std::vector<TrustedRanges> ranges;
    ranges.reserve(followed_.size());
    for (const auto& each : followed_) ranges.push_back(each.ranges);
    return ranges;
}

}  // namespace nearhop::run
