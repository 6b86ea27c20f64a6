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

/// What is accepted of an origin can be written to a client without ending a line early, and answers that have no
/// body by their status get none.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view all{reinterpret_cast<const char*>(data), size};
    HeadScan scan;
    if (scan.scan(all) != HeadScan::State::complete) return 0;
    const std::string bytes{all.substr(0, scan.size())};
    ResponseHead head;
    if (parse_response(bytes, 1000, head) != HeadError::none) return 0;
    require(head.status >= 100 && head.status <= 599 && head.minor <= 1);
    for (const char c : head.reason) require(c == '\t' || static_cast<unsigned char>(c) >= ' ');
    for (const auto& field : head.fields)
        for (const char c : field.value) require(c == '\t' || static_cast<unsigned char>(c) >= ' ');
    const auto framing = response_framing(head, "GET");
    const bool bodyless = head.status < 200 || head.status == 204 || head.status == 304;
    require(!framing || framing->has_body() != bodyless);
    const auto of_head = response_framing(head, "HEAD");
    require(of_head.has_value() == framing.has_value() && (!of_head || !of_head->has_body()));
    static_cast<void>(keeps_alive(head.minor, head.fields));
    return 0;
}
