#include "geo/address.h"
#include "tests/fuzz/support.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

using nearhop::fuzz::require;
using nearhop::geo::Address;
using nearhop::geo::Cidr;

/// Addresses and networks as text: what is accepted prints to something that is accepted as the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = nearhop::fuzz::text_of(data, size);
    if (const auto address = Address::parse(text)) {
        require(Address::parse(address->text()) == address);
        const Address inner = address->canonical();
        require(inner.canonical() == inner);
        static_cast<void>(inner.is_special());
    }
    if (const auto cidr = Cidr::parse(text)) {
        require(cidr->bits <= 128 && cidr->contains(cidr->network));
        const nearhop::geo::CidrTable table{{{*cidr, 7}}};
        require(table.find(cidr->network) == 7U);
    }
    return 0;
}
