#include "proxy/wire/diagnose.h"

#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nearhop::wire {
namespace {

using namespace std::string_literals;
using enum Deviation;

struct Case {
    std::string head;  ///< behind the request or status line and one good field; or the whole, when it has a CRLF CRLF
    Deviation reason;
};

/// Whatever is diagnosed must have been refused: the parser decides, not this.
bool refused_request(const std::string& bytes) {
    HeadScan scan;
    if (scan.scan(bytes) != HeadScan::State::complete) return true;
    RequestHead head;
    return parse_request(bytes, 100, head) != HeadError::none || !request_framing(head);
}

bool refused_response(const std::string& bytes) {
    HeadScan scan;
    if (scan.scan(bytes) != HeadScan::State::complete) return true;
    ResponseHead head;
    return parse_response(bytes, 100, head) != HeadError::none || !response_framing(head, "GET");
}

TEST(Diagnose, NamesWhatIsWrongWithARequest) {
    const auto field = [](const std::string& lines) { return "POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n\r\n"; };
    const auto line = [](const std::string& text) { return text + "\r\nHost: a\r\n\r\n"; };
    const Case rows[] = {
        {line("GET / HTTP/1.1\n"), bare_lf},
        {field("X: a\nY: b"), bare_lf},
        {field("X: a\rb"), bare_cr},
        {field("X: a\r\r"), bare_cr},
        {field("X: a\0b"s), nul_byte},
        {field("X: a\x01"), control_byte},
        {field("X: a\x7f"), control_byte},
        {field("Transfer-Encoding: \x0b"
               "chunked"),
         control_byte},
        {line("GET"), bad_version},
        {line("GET /"), bad_version},
        {line("GET / HTTP/2.0"), bad_version},
        {line("GET / HTTP/1.2"), bad_version},
        {line("GET / http/1.1"), bad_version},
        {line("GET / HTTP/1.10"), bad_version},
        {line("PRI * HTTP/2.0"), bad_version},
        {line(" GET / HTTP/1.1"), request_line_spaces},
        {line("GET  / HTTP/1.1"), request_line_spaces},
        {line("GET /  HTTP/1.1"), request_line_spaces},
        {line("GET /a b HTTP/1.1"), request_line_spaces},
        {line("GET / HTTP/1.1 "), request_line_spaces},
        {line("GET\t/\tHTTP/1.1"), request_line_spaces},
        {line("G@T / HTTP/1.1"), bad_method},
        {line(std::string(33, 'A') + " / HTTP/1.1"), bad_method},
        {line("GET /a#b HTTP/1.1"), fragment_in_target},
        {line("GET /\xc3\xa4 HTTP/1.1"), bad_target},
        {field(" X: a"), folded_field},
        {field("X: a\r\n b"), folded_field},
        {field("X:\r\n\tb"), folded_field},
        {field("words"), no_colon},
        {field(": a"), bad_field_name},
        {field("X(y): a"), bad_field_name},
        {field("\xc3\xa4: a"), bad_field_name},
        {field("X : a"), space_before_colon},
        {field("Content-Length : 1"), space_before_colon},
        {field("Content-Length: 1\r\nTransfer-Encoding: chunked"), both_framings},
        {field("Content-Length: 1\r\nContent-Length: 1"), repeated_length},
        {field("Content-Length: 1\r\nContent-Length: 2"), repeated_length},
        {field("Content-Length: 1, 1"), bad_length},
        {field("Content-Length: +1"), bad_length},
        {field("Content-Length:"), bad_length},
        {field("Content-Length: 9223372036854775808"), bad_length},
        {field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), repeated_coding},
        {field("Transfer-Encoding: chunked, identity"), unknown_coding},
        {field("Transfer-Encoding:"), unknown_coding},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", coding_in_http10},
    };
    for (const auto& [head, reason] : rows) {
        EXPECT_EQ(name(diagnose_request(head)), name(reason)) << head;
        EXPECT_TRUE(refused_request(head)) << head;
    }
}

TEST(Diagnose, NamesWhatIsWrongWithAResponse) {
    const auto field = [](const std::string& lines) { return "HTTP/1.1 200 OK\r\n" + lines + "\r\n\r\n"; };
    const Case rows[] = {
        {"hello world\r\n\r\n", bad_status_line},
        {"HTTP/1.1 99 Low\r\n\r\n", bad_status_line},
        {"HTTP/1.1 2000 High\r\n\r\n", bad_status_line},
        {"HTTP/1.1 -20 No\r\n\r\n", bad_status_line},
        {"HTTP/1.1 600 No\r\n\r\n", bad_status_line},
        {"HTTP/2.0 200 OK\r\n\r\n", bad_version},
        {"HTTP/1.1 200 O\0K\r\n\r\n"s, nul_byte},
        {field("X: a\nY: b"), bare_lf},
        {field("Content-Length: 1\r\nContent-Length: 1"), repeated_length},
        {field("Transfer-Encoding: gzip, chunked"), unknown_coding},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", coding_in_http10},
    };
    for (const auto& [head, reason] : rows) {
        EXPECT_EQ(name(diagnose_response(head)), name(reason)) << head;
        EXPECT_TRUE(refused_response(head)) << head;
    }
}

TEST(Diagnose, TakesAHeadThatEndsAnywhere) {
    const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nX : y\r\nContent-Length: +1\r\n\r\n";
    for (std::size_t size = 0; size <= head.size(); ++size) {
        const auto part = std::string_view{head}.substr(0, size);
        EXPECT_NE(name(diagnose_request(part)), "?");
        EXPECT_NE(name(diagnose_response(part)), "?");
    }
    EXPECT_EQ(diagnose_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), other) << "nothing is wrong with it";
}

TEST(Deviations, HaveNamesOfTheirOwnAndTheWorstIsTheLast) {
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < deviation_count; ++i) {
        const auto which = static_cast<Deviation>(i);
        EXPECT_TRUE(names.insert(name(which)).second) << name(which);
        EXPECT_FALSE(describe(which).empty());
        Deviations found;
        EXPECT_EQ(found.worst(), none);
        found.add(empty_line);
        found.add(which);
        EXPECT_TRUE(found.has(which) || which == none);
        EXPECT_EQ(found.worst(), std::max(which, empty_line));
        EXPECT_GE(strictness(found.worst()), strictness(which));
    }
}

}  // namespace
}  // namespace nearhop::wire
