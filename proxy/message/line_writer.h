#pragma once

#include "proxy/wire/buffer.h"

#include <cstring>
#include <string_view>

namespace nearhop::message {

/// Appends texts to one contiguous block with a single size check per call.
class LineWriter {
public:
    explicit LineWriter(wire::Buffer& out) noexcept : out_{out} {}
    template <class... Parts>
    void operator()(const Parts&... parts) const {
        const std::string_view views[] = {std::string_view{parts}...};
        std::size_t size = 0;
        for (const auto view : views) size += view.size();
        char* to = out_.prepare(size);
        for (const auto view : views) {
            if (view.empty()) continue;  // it may point nowhere
            std::memcpy(to, view.data(), view.size());
            to += view.size();
        }
        out_.commit(size);
    }

private:
    wire::Buffer& out_;
};

}  // namespace nearhop::message
