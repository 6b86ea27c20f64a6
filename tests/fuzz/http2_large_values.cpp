#include "proxy/client/http2_large_values.h"

#include "tests/fuzz/support.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using nearhop::client::LargeValues;
using nearhop::fuzz::require;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

/// What nghttp2 makes of the block; nothing: it is malformed.
std::optional<Fields> read(const std::string& block) {
    nghttp2_hd_inflater* inflater = nullptr;
    require(nghttp2_hd_inflate_new(&inflater) == 0);
    Fields fields;
    const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
    std::size_t left = block.size();
    bool good = false;
    for (;;) {
        nghttp2_nv pair{};
        int flags = 0;
        const auto used = nghttp2_hd_inflate_hd2(inflater, &pair, &flags, at, left, 1);
        if (used < 0) break;
        at += used;
        left -= static_cast<std::size_t>(used);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
            fields.emplace_back(std::string{reinterpret_cast<char*>(pair.name), pair.namelen},
                                std::string{reinterpret_cast<char*>(pair.value), pair.valuelen});
        good = (flags & NGHTTP2_HD_INFLATE_FINAL) != 0;
        if (good) break;
    }
    nghttp2_hd_inflate_del(inflater);
    if (!good) return {};
    return fields;
}

/// `block` as it leaves in pieces; true: a value was written over.
bool pass(std::string& block, std::uint32_t most, std::size_t piece) {
    LargeValues guard{most};
    guard.begin_block();
    for (std::size_t at = 0; at < block.size(); at += piece)
        guard.pass({block.data() + at, std::min(piece, block.size() - at)});
    return guard.found();
}

}  // namespace

/// A header block, held to a limit that a small input can reach (the first byte). What holds no value above it leaves
/// as it came; what does is as long as before, and nghttp2 reads the same fields in it but for the large ones, and
/// others behind those. The table is switched off: in earnest a large value empties it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::uint32_t most = 127 + data[0];
    const std::string block = "\x20" + std::string{nearhop::fuzz::text_of(data + 2, size - 2)};
    std::string written = block;
    const bool found = pass(written, most, written.size());
    require(written.size() == block.size());
    if (!found) require(written == block);

    std::string cut = block;
    if (!pass(cut, most, data[1] + std::size_t{1})) require(cut == block);

    const auto fields = read(block);
    if (!fields) return 0;  // also where the guard was sure of a length that the block does not have
    const auto others = read(written);
    require(others.has_value());
    auto other = others->begin();
    for (const auto& [name, value] : *fields) {
        if (!found) break;
        // What counts is the value as encoded: by its own length nobody can tell which has become filler.
        const auto same = std::find_if(other, others->end(), [&](const auto& each) {
            return each.first == name && (each.second == value || each.second == std::string(most, '/'));
        });
        require(same != others->end());
        other = same + 1;
    }
    return 0;
}
