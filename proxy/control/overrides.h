#pragma once

#include "health/verdict.h"

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// What operators order of an origin by hand. An order has an author, a reason and an end, and outlives a restart.
namespace nearhop::control {

inline constexpr std::chrono::seconds override_default = std::chrono::hours{4};
inline constexpr std::chrono::seconds override_longest = std::chrono::hours{168};
inline constexpr std::size_t author_limit = 64, why_limit = 256;  ///< bytes

inline constexpr std::string_view no_state_file = "there is no admin.state_file";

struct OverrideOrder {
    std::string origin;
    health::Override order = health::Override::none;
    std::string author, why;
    std::chrono::seconds lasts = override_default;
    bool force = false;  ///< also where the other origins have no room for what this one carries
};

struct OverrideRecord {
    std::string origin;
    health::Override order = health::Override::none;
    std::string author, why;
    std::chrono::system_clock::time_point set{}, expires{};  ///< whole seconds, for people and for the file
    health::TimePoint ends{};                                ///< the same end on the clock that nobody sets
};

/// True if it may be in a log line and in the file: 1 to `most` bytes of UTF-8 without control characters.
bool is_note(std::string_view text, std::size_t most);

/// The standing orders, by origin name: also of origins that the present configuration does not have. On the control
/// thread.
class Overrides {
public:
    using SystemTime = std::chrono::system_clock::time_point;

    /// Where they are kept; empty: nowhere. Nothing is read or written by this.
    void set_file(std::string file) { file_ = std::move(file); }
    const std::string& file() const noexcept { return file_; }

    /// Takes over what the file holds and has not expired. A sentence when the file is there and cannot be understood:
    /// then nothing of it is taken. No file is a good file.
    std::string load(SystemTime now, health::TimePoint steady_now);
    /// Writes the file atomically: a reader, also after a crash, sees the old orders or the new ones. A sentence if
    /// that failed; then the old file is still there. It never overwrites a file that is not ours.
    std::string save() const;
    /// They are kept in another file now: what `old` holds must not come back later. It is removed, unless it is the
    /// same file by another name or none of ours.
    void supersede(const std::string& old) const;
    /// Those of `other` for origins that have no order here. Returns them.
    std::vector<OverrideRecord> take_over(const Overrides& other);

    const OverrideRecord& put(const OverrideOrder& order, SystemTime now, health::TimePoint steady_now);
    bool remove(const std::string& origin) { return records_.erase(origin) != 0; }
    /// Takes out what has ended.
    std::vector<OverrideRecord> take_ended(health::TimePoint steady_now);

    const OverrideRecord* find(const std::string& origin) const;
    const std::map<std::string, OverrideRecord>& all() const noexcept { return records_; }

private:
    std::string file_;
    std::map<std::string, OverrideRecord> records_;
};

}  // namespace nearhop::control
