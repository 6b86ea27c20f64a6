#include "geo/ip_ranges.h"

#include "tests/fuzz/support.h"

#include <cstddef>
#include <cstdint>

using nearhop::fuzz::require;

/// A list of networks as AWS publishes it: foreign bytes that decide who is trusted. What is accepted holds networks
/// that are none too wide, sorted, each once; what is not gives no network and a reason without the list's own bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = nearhop::fuzz::text_of(data, size);
    for (const char* service : {"CLOUDFRONT_ORIGIN_FACING", "EC2"}) {
        const auto found = nearhop::geo::parse_ip_ranges(text, service);
        require(found.networks.empty() != found.error.empty());
        require(nearhop::fuzz::is_clean_value(found.error));
        const nearhop::geo::Cidr* before = nullptr;
        for (const auto& cidr : found.networks) {
            require(cidr.contains(cidr.network) && !cidr.is_everything());
            require(cidr.bits <= 128 && cidr.bits >= (cidr.network.is_v4() ? 104 : 16));
            require(!before || before->network.bytes() < cidr.network.bytes() || before->bits < cidr.bits);
            before = &cidr;
        }
    }
    return 0;
}
