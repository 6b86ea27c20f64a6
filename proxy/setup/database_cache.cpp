#include "proxy/setup/database_cache.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace nearhop::setup {
namespace {

struct Kept {
    std::string file;
    shared::FileStamp stamp;
    std::weak_ptr<const geo::Database> database;
};

struct Cache {
    std::mutex mutex;
    std::vector<Kept> kept;  // guarded by mutex
};

Cache& cache() {
    static auto& made = *new Cache;  // a thread that was left behind at the end may still come here
    return made;
}

}  // namespace

std::shared_ptr<const geo::Database> find_database(const std::string& file, const shared::FileStamp& stamp) {
    auto& all = cache();
    const std::lock_guard lock{all.mutex};
    for (const auto& each : all.kept)
        if (each.file == file && each.stamp == stamp)
            if (auto database = each.database.lock()) return database;
    return nullptr;
}

void remember_database(const std::string& file, const shared::FileStamp& stamp,
                       const std::shared_ptr<const geo::Database>& database) {
    const auto settled = shared::FileStamp::of_read(file);
    if (settled != stamp) return;  // it changed meanwhile, or may have
    auto& all = cache();
    const std::lock_guard lock{all.mutex};
    std::erase_if(all.kept, [](const Kept& each) { return each.database.expired(); });
    all.kept.push_back({file, stamp, database});
}

shared::FileStamp stamp_of(const std::string& file, const geo::Database& database) {
    auto& all = cache();
    const std::lock_guard lock{all.mutex};
    const auto found = std::find_if(all.kept.begin(), all.kept.end(), [&](const Kept& each) {
        return each.file == file && each.database.lock().get() == &database;
    });
    return found == all.kept.end() ? shared::FileStamp::of_none() : found->stamp;
}

}  // namespace nearhop::setup
