#pragma once

#include "conf/config.h"
#include "proxy/control/overrides.h"
#include "proxy/loop/background.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace nearhop::control {

/// The operators' orders as they come, last and end: kept in the configured file, and each change logged with its
/// author. What they do to origins is the caller's. On the control thread, but for the file, which may be slow.
class OverrideWatch {
public:
    /// `failed` receives exceptions from inside, after which the watch tries again.
    OverrideWatch(loop::Loop& loop, loop::Background& files, std::function<void(const std::exception&)> failed);
    OverrideWatch(const OverrideWatch&) = delete;
    OverrideWatch& operator=(const OverrideWatch&) = delete;

    /// The process begins: takes over what the last one left in the file. The one call that waits for a disk.
    void restore(const conf::Admin& admin, loop::TimePoint now);

    /// A reload names another file. It is read before anything is written there.
    struct OtherFile {
        Overrides orders;
        std::string problem;  ///< empty: it is a file of ours, or none yet
    };
    /// nullopt: it is the present file. Any thread.
    static std::optional<OtherFile> look_at(const conf::Admin& admin, const std::string& present);
    /// What the other file holds is taken over, but for origins that have an order now; from then on all are kept
    /// there, and the old file goes. There, it could bring back orders that were cleared since.
    void follow(const OtherFile& other);

    /// What holds from now on; nullopt: the order was to clear. Not saved yet.
    std::optional<OverrideRecord> take(const OverrideOrder& order, loop::TimePoint now);
    /// True when orders ended by their time. Not saved yet.
    bool end(loop::TimePoint now);
    void save_soon();
    /// Comes back once what holds now is in the file. A sentence when that failed, which is logged if there is a file:
    /// the orders hold in memory anyway. Dropping the Task is fine.
    loop::Task<std::string> save();

    const OverrideRecord* find(const std::string& origin) const { return overrides_.find(origin); }
    const std::string& file() const noexcept { return overrides_.file(); }

private:
    loop::Task<> keep_saving();

    loop::Loop& loop_;
    loop::Background& files_;
    Overrides overrides_;
    std::vector<std::string> old_files_;    ///< to be superseded by the next save
    std::uint64_t wanted_ = 0, saved_ = 0;  ///< changes so far; of these, those that were tried to be saved
    std::string problem_;                   ///< of the last try
    std::vector<loop::Wake*> waiting_;
    loop::Wake wake_;
    loop::Task<> saving_;  // last: ends before what it uses
};

}  // namespace nearhop::control
