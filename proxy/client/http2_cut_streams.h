#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nearhop::client {

/// Streams that the edge closed while their client could still send: frames that the client sent before it knew are no
/// offence (RFC 9113 section 5.1). It keeps the last `most` streams, which is enough: a client that opens one stream
/// more than it may have at once has seen the end of an older one.
class CutStreams {
public:
    explicit CutStreams(std::size_t most) noexcept : most_{most} {}

    /// `window`: bytes of DATA that may be under way. Throws std::bad_alloc only.
    void add(std::int32_t id, std::uint32_t window) {
        if (cut_.size() < most_)
            cut_.push_back({id, window});
        else
            cut_[next_++ % most_] = {id, window};
    }
    bool has(std::int32_t id) const noexcept { return find(id) != cut_.end(); }
    /// Whether that many bytes may have been on their way.
    bool take(std::int32_t id, std::size_t bytes) noexcept {
        const auto found = find(id);
        if (found == cut_.end() || found->window < bytes) return false;
        found->window -= static_cast<std::uint32_t>(bytes);
        return true;
    }
    /// The client has ended its side too: nothing follows.
    void ended(std::int32_t id) noexcept {
        if (const auto found = find(id); found != cut_.end()) *found = {};
    }

private:
    struct Cut {
        std::int32_t id = 0;
        std::uint32_t window = 0;
    };
    std::vector<Cut>::iterator find(std::int32_t id) noexcept {
        return std::find_if(cut_.begin(), cut_.end(), [id](const Cut& cut) { return cut.id == id; });
    }
    std::vector<Cut>::const_iterator find(std::int32_t id) const noexcept {
        return std::find_if(cut_.begin(), cut_.end(), [id](const Cut& cut) { return cut.id == id; });
    }

    std::size_t most_;
    std::size_t next_ = 0;  ///< the oldest, once there are `most_`
    std::vector<Cut> cut_;
};

}  // namespace nearhop::client
