#pragma once

#include "conf/config.h"
#include "geo/database.h"
#include "proxy/shared/file_stamp.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nearhop::control {

/// Sees when a geo database's file changes. A newer one replaces the one in use only when it opens and answers;
/// else the old one stays, and the file is looked at again when it changes once more.
class GeoWatch {
public:
    /// Of one database, whether or not it has a file.
    struct Followed {
        std::string file;  ///< empty: embedded
        std::shared_ptr<const geo::Database> database;
        std::string failure;  ///< why the file's present content is not in use; empty: it is
        bool old = false;     ///< geo::is_old, and the log has said so
    };

    /// From now on these, which were opened from the configuration's files. `most_bytes`: of a file that replaces one.
    void follow(const conf::Geo& geo, const std::vector<std::shared_ptr<const geo::Database>>& databases,
                std::uint64_t most_bytes = UINT64_MAX);

    /// Looks at all files once and logs what it finds, and which databases have become old; `replaced` and `refused`
    /// count databases.
    struct Result {
        unsigned replaced = 0, refused = 0;
    };
    Result look(std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

    const std::vector<Followed>& databases() const noexcept { return followed_; }
    std::vector<std::shared_ptr<const geo::Database>> in_use() const;

private:
    static void look_at_age(Followed& each, std::chrono::system_clock::time_point now);

    std::vector<Followed> followed_;
    std::vector<shared::FileStamp> stamps_;
    std::uint64_t most_bytes_ = UINT64_MAX;
};

}  // namespace nearhop::control
