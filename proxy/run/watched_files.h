#pragma once

#include "proxy/loop/loop.h"
#include "proxy/run/geo_watch.h"
#include "proxy/run/ranges_watch.h"
#include "proxy/run/status.h"
#include "proxy/snapshot.h"

namespace nearhop::run {

/// The files behind a snapshot that may change without a reload, geo databases and lists of trusted networks: each kind
/// is looked at by its own `watch` interval, and the parts of the snapshot that are made of it are made anew. On the
/// control thread.
class WatchedFiles {
public:
    /// From now on those of this snapshot, which was just built of them.
    void follow(const Snapshot& snapshot, loop::TimePoint now);

    // When they are due. True when a part of the snapshot was replaced.
    bool look_at_databases(Snapshot& snapshot, loop::TimePoint now);
    bool look_at_ranges(Snapshot& snapshot, loop::TimePoint now);

    void show(Control::Status& status) const;

private:
    GeoWatch geo_;
    RangesWatch ranges_;
    GeoWatch::Result databases_seen_;  ///< since the process began
    RangesWatch::Result ranges_seen_;
    loop::TimePoint next_databases_{}, next_ranges_{};
};

}  // namespace nearhop::run
