#pragma once

#include "proxy/control/geo_watch.h"
#include "proxy/control/ranges_watch.h"
#include "proxy/control/status.h"
#include "proxy/loop/background.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/shared/snapshot.h"

#include <cstdint>

namespace nearhop::control {

/// The files behind a snapshot that may change without a reload: geo databases and lists of trusted networks. Each kind
/// has its own `watch` interval; a changed file rebuilds its parts of the snapshot. On the control thread, except
/// reading the files, which may be large or slow.
class WatchedFiles {
public:
    /// From now on those of this snapshot, which was just built of them.
    void follow(const shared::Snapshot& snapshot, loop::TimePoint now);

    // When they are due. True when a part of the snapshot was replaced; whatever a follow() in between made void was
    // not.
    loop::Task<bool> look_at_databases(shared::Snapshot& snapshot, loop::Background& files, loop::TimePoint now);
    loop::Task<bool> look_at_ranges(shared::Snapshot& snapshot, loop::Background& files, loop::TimePoint now);

    void show(Control::Status& status) const;

private:
    GeoWatch geo_;
    RangesWatch ranges_;
    GeoWatch::Result databases_seen_;  ///< since the process began
    RangesWatch::Result ranges_seen_;
    loop::TimePoint next_databases_{}, next_ranges_{};
    std::uint64_t followed_ = 0;  ///< calls of follow()
};

}  // namespace nearhop::control
