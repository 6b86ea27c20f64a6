#include "proxy/message/headers.h"
#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"
#include "tests/fuzz/support.h"

#include <string>

using namespace nearhop;
using namespace nearhop::wire;
using fuzz::require;

namespace {

/// What a client gets of the fields: read back, the same names and values in the same order, without the ones that are
/// the codec's to write.
void check_forwarded(const ResponseHead& head) {
    Buffer out;
    out.append("HTTP/1.1 200 OK\r\n");
    message::write_response_fields(head.fields, out);
    out.append("\r\n");
    HeadScan scan;
    require(scan.scan(out.view()) == HeadScan::State::complete && scan.size() == out.size());
    ResponseHead again;
    require(parse_response(out.view(), 1000, again) == HeadError::none);
    require(again.fields.size() <= head.fields.size());
    auto from = head.fields.begin();
    for (const auto& field : again.fields) {
        require(!message::is_hop_by_hop(field.id) && field.id != Name::content_length && field.id != Name::x_nearhop);
        while (from != head.fields.end() && (from->name != field.name || from->value != field.value)) ++from;
        require(from != head.fields.end());
        ++from;
    }
}

}  // namespace

/// What is accepted of an origin can be written to a client without ending a line early, and answers that have no
/// body by their status get none.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto all = fuzz::text_of(data, size);
    HeadScan scan;
    if (scan.scan(all) != HeadScan::State::complete) return 0;
    const std::string bytes{all.substr(0, scan.size())};
    ResponseHead head;
    if (parse_response(bytes, 1000, head) != HeadError::none) return 0;
    require(!fuzz::is_folded(bytes));
    require(head.status >= 100 && head.status <= 599 && head.minor <= 1);
    require(fuzz::is_clean_value(head.reason));
    for (const auto& field : head.fields) require(fuzz::is_token(field.name) && fuzz::is_clean_value(field.value));
    check_forwarded(head);

    const auto framing = response_framing(head, "GET");
    const bool bodyless = head.status < 200 || head.status == 204 || head.status == 304;
    require(!framing || framing->has_body() != bodyless);
    const auto of_head = response_framing(head, "HEAD");
    require(of_head.has_value() == framing.has_value() && (!of_head || !of_head->has_body()));
    static_cast<void>(keeps_alive(head.minor, head.fields));
    return 0;
}
