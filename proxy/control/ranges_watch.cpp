#include "proxy/control/ranges_watch.h"

#include "proxy/account/logging.h"
#include "proxy/setup/trusted.h"

#include <utility>

namespace nearhop::control {

void RangesWatch::follow(const std::vector<shared::TrustedRanges>& ranges) {
    followed_.clear();
    stamps_.clear();
    for (const shared::TrustedRanges& each : ranges) {
        followed_.push_back({each});
        stamps_.push_back(each.read_at);
    }
}

RangesWatch::Result RangesWatch::look() {
    Result result;
    for (std::size_t i = 0; i < followed_.size(); ++i) {
        auto& [ranges, failure] = followed_[i];
        const shared::FileStamp stamp = shared::FileStamp::of(ranges.file);
        if (std::exchange(stamps_[i], stamp) == stamp) continue;
        auto next = setup::read_ranges(ranges.file, ranges.service, failure);
        if (failure.empty()) failure = setup::too_short(ranges, next);
        if (!failure.empty()) {
            ++result.refused;
            account::log_error(
                "ip_ranges_refused",
                {{"file", ranges.file}, {"service", ranges.service}, {"error", failure}, {"kept", true}});
            continue;
        }
        ++result.replaced;
        account::log_info("ip_ranges", {{"file", ranges.file},
                                        {"service", ranges.service},
                                        {"networks", next.networks.size()},
                                        {"before", ranges.networks.size()}});
        ranges = std::move(next);
    }
    return result;
}

std::vector<shared::TrustedRanges> RangesWatch::in_use() const {
    std::vector<shared::TrustedRanges> ranges;
    ranges.reserve(followed_.size());
    for (const auto& each : followed_) ranges.push_back(each.ranges);
    return ranges;
}

}  // namespace nearhop::control
