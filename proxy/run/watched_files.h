#pragma once

#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/run/background.h"
#include "proxy/run/geo_watch.h"
#include "proxy/run/ranges_watch.h"
#include "proxy/run/status.h"
#include "proxy/snapshot.h"

#include <cstdint>

namespace nearhop::run {

/// The files behind a snapshot that may change without a reload: geo databases and lists of trusted networks. Each kind
/// has its own `watch` interval; a changed file rebuilds its parts of the snapshot. On the control thread, except
/// reading the files, which may be large or slow.
class WatchedFiles {
public:
    /// From now on those of this snapshot, which was just built of them.
    void follow(const Snapshot& snapshot, loop::TimePoint now);

    // When they are due. True when a part of the snapshot was replaced; whatever a follow() in between made void was
    // not.
    loop::Task<bool> look_at_databases(Snapshot& snapshot, Background& files, loop::TimePoint now);
    loop::Task<bool> look_at_ranges(Snapshot& snapshot, Background& files, loop::TimePoint now);

    void show(Control::Status& status) const;

private:
    GeoWatch geo_;
    RangesWatch ranges_;
    GeoWatch::Result databases_seen_;  ///< since the process began
    RangesWatch::Result ranges_seen_;
    loop::TimePoint next_databases_{}, next_ranges_{};
    std::uint64_t followed_ = 0;  ///< calls of follow()
};

}  // namespace nearhop::run
