#pragma once

#include "conf/config.h"
#include "proxy/loop/loop.h"
#include "proxy/run/overrides.h"

#include <optional>
#include <string>

namespace nearhop::run {

/// The operators' orders as they come, last and end: kept in the configured file, and each change logged with its
/// author. What they do to origins is the caller's. On the control thread.
class OverrideWatch {
public:
    /// The process begins: takes over what the last one left in the file.
    void restore(const conf::Admin& admin, loop::TimePoint now);
    /// A reload: another file gets what holds now, also if that is nothing: what it held before must not come back
    /// later.
    void follow(const conf::Admin& admin);

    /// What holds from now on; nullopt: the order was to clear. Not saved yet.
    std::optional<OverrideRecord> take(const OverrideOrder& order, loop::TimePoint now);
    /// True when orders ended by their time. Not saved yet.
    bool end(loop::TimePoint now);
    /// A sentence when it failed, which is logged if there is a file: the orders hold in memory all the same.
    std::string save();

    const OverrideRecord* find(const std::string& origin) const { return overrides_.find(origin); }

private:
    Overrides overrides_;
};

}  // namespace nearhop::run
