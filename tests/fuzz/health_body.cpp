#include "health/body.h"
#include "tests/fuzz/support.h"

using namespace nearhop;
using fuzz::require;

namespace {

health::BodyRules make_rules(bool with_checks) {
    health::BodyRules rules;
    rules.region = "eu-west-1";
    if (!with_checks) return rules;
    rules.checks = {{"cache", conf::Need::note, {}, {}},
                    {"db", conf::Need::writes, {}, {{"lag", 5.0}}},
                    {"core", conf::Need::down, {}, {}}};
    return rules;
}

}  // namespace

/// A health body: read at once, with one reason out of four, the same each time; a body without checks to read can only
/// be of the wrong region; findings are there exactly when the body was one.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto rules = make_rules(true), bare = make_rules(false);
    const auto body = fuzz::text_of(data, size);
    const auto reading = health::read_body(body, rules);
    using health::Reason;
    require(reading.reason == Reason::none || reading.reason == Reason::bad_body ||
            reading.reason == Reason::wrong_region || reading.reason == Reason::check_failed);
    require(reading.findings.read == (reading.reason == Reason::none || reading.reason == Reason::check_failed));
    require((reading.reason == Reason::check_failed) == (reading.findings.of[2] == health::Finding::fail));
    require(fuzz::is_clean_value(reading.detail) && reading.detail.size() < 256);
    for (std::size_t i = rules.checks.size(); i < health::most_checks; ++i)
        require(reading.findings.of[i] == health::Finding::missing);
    if (!reading.findings.read) require(reading.findings == health::Findings{});

    const auto again = health::read_body(body, rules);
    require(again.reason == reading.reason && again.findings == reading.findings && again.detail == reading.detail);

    // What was not declared fails nothing by its form, and is read where it is a map.
    const auto undeclared = health::read_body(body, rules, {.json = false, .type = "text/plain"});
    require(undeclared.reason != Reason::bad_body);
    require(undeclared.unread || (undeclared.reason == reading.reason && undeclared.findings == reading.findings));
    require(undeclared.unread == (reading.unread || reading.reason == Reason::bad_body));
    require(fuzz::is_clean_value(undeclared.detail) && undeclared.detail.size() < 256);
    const auto coded = health::read_body(body, rules, {.coding = std::string{body}});
    require(coded.unread == !body.empty() && fuzz::is_clean_value(coded.detail) && coded.detail.size() < 256);

    const auto region = health::read_body(body, bare);
    require(!region.findings.read);
    require((region.reason == Reason::wrong_region) == (reading.reason == Reason::wrong_region));
    require(region.reason == Reason::none || region.reason == Reason::wrong_region);
    return 0;
}
