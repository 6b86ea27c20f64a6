#pragma once

#include "proxy/shared/file_stamp.h"
#include "proxy/shared/snapshot.h"

#include <string>
#include <vector>

namespace nearhop::control {

/// Sees when a file that clients.trusted takes networks from changes. Its new networks replace the ones in use only
/// when the file is understood, has some, and not suddenly less than half as many; else the old ones stay, and the file
/// is looked at again when it changes once more.
class RangesWatch {
public:
    struct Followed {
        shared::TrustedRanges ranges;
        std::string failure{};  ///< why the file's present content is not in use; empty: it is
    };

    /// From now on these, which were just read; in the order of their entries.
    void follow(const std::vector<shared::TrustedRanges>& ranges);

    /// Looks at all files once and logs what it finds; `replaced` and `refused` count lists.
    struct Result {
        unsigned replaced = 0, refused = 0;
    };
    Result look();

    const std::vector<Followed>& lists() const noexcept { return followed_; }
    std::vector<shared::TrustedRanges> in_use() const;

private:
    std::vector<Followed> followed_;
    std::vector<shared::FileStamp> stamps_;
};

}  // namespace nearhop::control
