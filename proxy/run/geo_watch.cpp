#include "proxy/run/geo_watch.h"

#include "proxy/run/build.h"
#include "proxy/run/database_cache.h"
#include "proxy/run/logging.h"

#include <utility>

namespace nearhop::run {

void GeoWatch::follow(const conf::Geo& geo, const std::vector<std::shared_ptr<const geo::Database>>& databases,
                      std::uint64_t most_bytes) {
    most_bytes_ = most_bytes;
    followed_.clear();
    stamps_.clear();
    for (std::size_t i = 0; i < databases.size(); ++i) {
        const std::string file = i < geo.databases.size() ? *geo.databases[i] : std::string{};
        followed_.push_back({file, databases[i], {}});
        stamps_.push_back(file.empty() ? FileStamp{} : stamp_of(file, *databases[i]));
    }
}

GeoWatch::Result GeoWatch::look() {
    Result result;
    for (std::size_t i = 0; i < followed_.size(); ++i) {
        auto& each = followed_[i];
        if (each.file.empty()) continue;
        const FileStamp stamp = FileStamp::of(each.file);
        if (std::exchange(stamps_[i], stamp) == stamp) continue;
        auto opened = open_database(each.file, most_bytes_);
        each.failure = opened.error;
        if (!opened.database) {
            ++result.refused;
            log_error("geo_database_refused", {{"file", each.file}, {"error", opened.error}, {"kept", true}});
            continue;
        }
        each.database = std::move(opened.database);
        ++result.replaced;
        const bool old = is_old(*each.database);
        log_event(old ? LogLevel::warning : LogLevel::info, "geo_database",
                  {{"file", each.file}, {"type", each.database->type()}, {"old", old}});
    }
    if (const auto version = unlocated_by(in_use()); result.replaced > 0 && !version.empty())
        log_warning("geo_unlocated", {{"version", version}});
    return result;
}

std::vector<std::shared_ptr<const geo::Database>> GeoWatch::in_use() const {
    std::vector<std::shared_ptr<const geo::Database>> databases;
    databases.reserve(followed_.size());
    for (const auto& each : followed_) databases.push_back(each.database);
    return databases;
}

}  // namespace nearhop::run
