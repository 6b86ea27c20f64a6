#include "proxy/control/geo_watch.h"

#include "proxy/account/logging.h"
#include "proxy/setup/build.h"
#include "proxy/setup/database_cache.h"

#include <algorithm>
#include <utility>

namespace nearhop::control {

void GeoWatch::follow(const conf::Geo& geo, const std::vector<std::shared_ptr<const geo::Database>>& databases,
                      std::uint64_t most_bytes) {
    most_bytes_ = most_bytes;
    const auto before = std::exchange(followed_, {});
    stamps_.clear();
    for (std::size_t i = 0; i < databases.size(); ++i) {
        const std::string file = i < geo.databases.size() ? *geo.databases[i] : std::string{};
        // A reload does not say again what is in use and old.
        const bool told = std::any_of(before.begin(), before.end(),
                                      [&](const Followed& each) { return each.old && each.database == databases[i]; });
        followed_.push_back({file, databases[i], {}, told});
        look_at_age(followed_.back(), std::chrono::system_clock::now());
        stamps_.push_back(file.empty() ? shared::FileStamp{} : setup::stamp_of(file, *databases[i]));
    }
}

void GeoWatch::look_at_age(Followed& each, std::chrono::system_clock::time_point now) {
    const auto built = each.database->built();
    const bool old = geo::is_old(built, now);
    if (std::exchange(each.old, old) == old || !old) return;
    account::log_warning("geo_database", {{"file", each.database->name()},
                                          {"type", each.database->type()},
                                          {"old", true},
                                          {"age_days", geo::age(built, now).count()}});
}

GeoWatch::Result GeoWatch::look(std::chrono::system_clock::time_point now) {
    Result result;
    for (std::size_t i = 0; i < followed_.size(); ++i) {
        auto& each = followed_[i];
        const shared::FileStamp stamp = each.file.empty() ? stamps_[i] : shared::FileStamp::of(each.file);
        if (std::exchange(stamps_[i], stamp) == stamp) {
            look_at_age(each, now);
            continue;
        }
        auto opened = setup::open_database(each.file, most_bytes_);
        each.failure = opened.error;
        if (!opened.database) {
            ++result.refused;
            account::log_error("geo_database_refused", {{"file", each.file}, {"error", opened.error}, {"kept", true}});
            continue;
        }
        each.database = std::move(opened.database);
        ++result.replaced;
        each.old = geo::is_old(each.database->built(), now);
        account::log_event(each.old ? account::LogLevel::warning : account::LogLevel::info, "geo_database",
                           {{"file", each.file},
                            {"type", each.database->type()},
                            {"old", each.old},
                            {"age_days", geo::age(each.database->built(), now).count()}});
    }
    if (const auto version = setup::unlocated_by(in_use()); result.replaced > 0 && !version.empty())
        account::log_warning("geo_unlocated", {{"version", version}});
    return result;
}

std::vector<std::shared_ptr<const geo::Database>> GeoWatch::in_use() const {
    std::vector<std::shared_ptr<const geo::Database>> databases;
    databases.reserve(followed_.size());
    for (const auto& each : followed_) databases.push_back(each.database);
    return databases;
}

}  // namespace nearhop::control
