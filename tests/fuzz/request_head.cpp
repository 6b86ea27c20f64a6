#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace nearhop::wire;

namespace {
void require(bool held) {
    if (!held) std::abort();
}
}  // namespace

/// A head found in two pieces is the head found in one, and what is accepted has no byte that could end a line, a
/// name or a request line early when it is written again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view all{reinterpret_cast<const char*>(data), size};
    HeadScan whole;
    const auto state = whole.scan(all);
    HeadScan split;
    const auto first = split.scan(all.substr(0, size / 2));
    require(first != HeadScan::State::more || split.scan(all) == state);
    if (state != HeadScan::State::complete) return 0;
    const std::string bytes{all.substr(0, whole.size())};
    RequestHead head;
    if (parse_request(bytes, 100, head) != HeadError::none) return 0;
    require(head.minor <= 1 && !head.method.empty() && !head.target.empty() && head.fields.size() <= 100);
    for (const char c : head.target) require(c > ' ' && c < 0x7f && c != '#');
    for (const auto& field : head.fields) {
        require(!field.name.empty() && field.name.find_first_of(" :\t\r\n") == field.name.npos);
        for (const char c : field.value) require(c == '\t' || static_cast<unsigned char>(c) >= ' ');
        require(field.id == classify(field.name));
    }
    if (const auto framing = request_framing(head)) require(framing->kind != Framing::Kind::until_close);
    return 0;
}
