#include "proxy/client/proxy_protocol.h"

#include "tests/fuzz/support.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

using nearhop::client::parse_proxy_header;
using nearhop::fuzz::require;
using State = nearhop::client::ProxyHeader::State;

/// A header is complete at exactly one length: with less it asks for more, with more it uses the same bytes. What
/// was malformed does not become good.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto all = nearhop::fuzz::text_of(data, size);
    const auto whole = parse_proxy_header(all);
    if (whole.state == State::complete) {
        require(whole.used > 0 && whole.used <= size);
        require(parse_proxy_header(all.substr(0, whole.used)).state == State::complete);
        require(parse_proxy_header(all.substr(0, whole.used - 1)).state == State::more);
    } else {
        require(whole.used == 0 && !whole.source);
        if (whole.state == State::more) require(size < 16 + 4096);
    }
    const auto half = parse_proxy_header(all.substr(0, size / 2));
    if (half.state == State::malformed) require(whole.state == State::malformed);
    return 0;
}
