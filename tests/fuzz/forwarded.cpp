#include "proxy/client/http1_codec.h"
#include "tests/fuzz/forwarded_check.h"

#include <algorithm>

using namespace nearhop;

/// The serialised request (Beast #579): whatever head was accepted, an origin reads the same method, target and framing
/// from ours, one Host, and nothing that a client could have smuggled into our own fields. The first byte chooses
/// who is trusted and which Host is sent.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    static const conf::Limits limits;
    wire::Stream stream;
    client::Http1Codec codec{stream, true};
    codec.begin_request(limits);
    stream.in().append(fuzz::text_of(data + 1, std::min(size - 1, std::size_t{8192})));
    if (codec.read_head() == client::Http1Codec::Read::ready) fuzz::check_forwarded(codec.request(), data[0]);
    return 0;
}
