#include "conf/secret.h"

#include "conf/parse.h"
#include "tests/conf/support.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace nearhop::conf {
namespace {

using namespace std::literals;

TEST(Secret, WhatIsWrongIsToldByItsPlaceAndNeverByItsBytes) {
    const struct {
        std::string_view text;
        std::size_t least;
        std::string_view found;  ///< empty: it is good
    } rows[] = {{"hunter2-hunter2", 8, ""},
                {"a b", 1, ""},
                {"x", 1, ""},
                {"", 1, "found nothing"},
                {"hunter2", 8, "found 7 characters"},
                {"hunter2\nhunter2", 8, "found a line feed at byte 8"},
                {"hunter2\rhunter2", 8, "found a carriage return at byte 8"},
                {"hunter2\0hunter2"sv, 8, "found a NUL at byte 8"},
                {"hunter2\thunter2", 8, "found a control character at byte 8"},
                {"hunter2\x7fhunter2", 8, "found a control character at byte 8"},
                {"hunter2\xc3\xa9hunter2", 8, "found a byte outside ASCII at byte 8"},
                {" hunter2-hunter2", 8, "found a blank at byte 1"},
                {"hunter2-hunter2 ", 8, "found a blank at byte 16"}};
    for (const auto& row : rows) {
        const std::string problem = secret_problem(row.text, row.least);
        EXPECT_EQ(problem.empty(), row.found.empty()) << row.text;
        EXPECT_NE(problem.find(row.found), std::string::npos) << problem;
        EXPECT_EQ(problem.find("hunter2"), std::string::npos) << problem;
    }
    EXPECT_EQ(secret_problem(std::string(Secret::most, 'x'), 1), "");
    EXPECT_EQ(secret_problem(std::string(Secret::most + 1, 'x'), 1), "want at most 4096 characters, found more");
}

TEST(Secret, OneLineEndIsNoPartOfIt) {
    const std::pair<std::string_view, std::string_view> rows[] = {{"s", "s"},       {"s\n", "s"},    {"s\r\n", "s"},
                                                                  {"s\n\n", "s\n"}, {"s\r", "s\r"},  {"\n", ""},
                                                                  {"", ""},         {" s \n", " s "}};
    for (const auto& [bytes, text] : rows) EXPECT_EQ(without_line_end(bytes), text);
}

/// An origin with `more`, and all that is said of it.
ParseResult with_origin(const std::string& more) {
    return parse(
        "listen: 127.0.0.1:443\n"
        "tls: {certificate: c.pem, private_key: k.pem}\n"
        "origins: {us: {url: 'https://us.example', " +
            more + "}}\n",
        "/etc/nearhop/f");
}

TEST(Secret, StandsInTheTextInAFileOrInAVariable) {
    const auto result = with_origin(
        "headers: {set: {X-A: plain, X-B: {file: b.secret}, X-C: {env: C_SECRET}}, remove: [X-D, X_E]}, health: "
        "{headers: "
        "{X-F: {file: /run/f}}}");
    ASSERT_TRUE(result.config) << all_lines(result.problems);
    EXPECT_EQ(all_lines(result.problems), "");
    const auto& set = result.config->origins[0].headers.set;
    ASSERT_EQ(set.size(), 3U);
    EXPECT_EQ(set[0].value.value, "plain");
    EXPECT_EQ(set[1].value.file, "/etc/nearhop/b.secret") << "as any other file, beside the configuration";
    EXPECT_EQ(set[2].value.variable, "C_SECRET");
    EXPECT_EQ(result.config->origins[0].headers.removed, (std::vector<std::string>{"X-D", "X_E"}));
    EXPECT_EQ(result.config->origins[0].health.headers.at(0).value.file, "/run/f");
}

TEST(Secret, IsRepeatedByNoMessage) {
    // Also where it stands in a wrong place: behind a colon without a blank, in a list, as the name of a variable.
    const char* const rows[] = {"headers: {set: {X-A: 'hunter2 '}}",
                                "headers: {set: {X-A: [hunter2]}}",
                                "headers: {set: {X-A: {env: 2hunter2}}}",
                                "headers: {set: {X-A: {env: hunter2-x}}}",
                                "headers: {set: {X-A: {value: hunter2, file: a, env: B}}}",
                                "headers: {set: {X-A: {file: a, env: B}}}",
                                "headers: {set: {X-A: {}}}",
                                "headers: {set: 'X-A:hunter2'}",
                                "headers: {set: [X-A, hunter2]}",
                                "headers: 'set:hunter2'",
                                "headers: {set: {Host: hunter2}}",
                                "headers: {set: {X-A: hunter2, x_a: hunter2}}",
                                "health: {headers: 'X-A:hunter2'}"};
    for (const std::string row : rows) {
        const auto result = with_origin(row);
        EXPECT_FALSE(result.config) << row;
        EXPECT_EQ(all_lines(result.problems).find("hunter2"), std::string::npos) << all_lines(result.problems);
    }
    for (const std::string row :
         {"admin: {token: {env: A, file: b}}\n", "admin: {'token:hunter2': 1}\n", "admin: 'token:hunter2'\n",
          "clients: {trusted: [{cidr: 10.0.0.0/8, secret_header: 'X-S:hunter2'}]}\n"}) {
        const auto result = parse(base() + row, "f");
        EXPECT_FALSE(result.config) << row;
        EXPECT_EQ(all_lines(result.problems).find("hunter2"), std::string::npos) << all_lines(result.problems);
    }
}

TEST(OriginHeaders, NamesThatFrameRouteOrBelongToTheEdgeAreRefused) {
    for (const std::string name : {"Host", "Content-Length", "transfer-encoding", "Connection", "Via", "CDN-Loop",
                                   "X-Forwarded-For", "X_Forwarded_For", "Forwarded", "X-Request-Id", "Idempotency-Key",
                                   "X-Nearhop-Decision", "Upgrade", "Expect", "TE", "Trailer", "X S", "''"})
        for (const std::string& row : {"headers: {set: {" + name + ": x}}", "headers: {remove: [" + name + "]}",
                                       "health: {headers: {" + name + ": x}}"}) {
            const auto result = with_origin(row);
            EXPECT_FALSE(result.config) << row;
            EXPECT_NE(all_lines(result.problems).find("want the name of a header field that neither HTTP nor the edge"),
                      std::string::npos)
                << row << '\n'
                << all_lines(result.problems);
        }
    EXPECT_EQ(all_lines(with_origin("headers: {set: {X-Origin-Secret: x}, remove: [X-Debug, Cookie]}").problems), "");
}

TEST(OriginHeaders, AreAtMost16) {
    std::string set, remove;
    for (int i = 0; i < 17; ++i) {
        set += (i ? ", X-" : "X-") + std::to_string(i) + ": x";
        remove += (i ? ", X-" : "X-") + std::to_string(i);
    }
    EXPECT_NE(all_lines(with_origin("headers: {set: {" + set + "}}").problems).find("want at most 16 fields, found 17"),
              std::string::npos);
    EXPECT_NE(
        all_lines(with_origin("headers: {remove: [" + remove + "]}").problems).find("want at most 16 names, found 17"),
        std::string::npos);
}

TEST(OriginHeaders, AnOriginsOwnHealthHeadersReplaceTheCommonOnes) {
    const auto result = parse(
        "listen: 127.0.0.1:443\n"
        "tls: {certificate: c.pem, private_key: k.pem}\n"
        "health: {port: 8443, headers: {X-A: all}}\n"
        "origins: {us: 'https://us.example', eu: {url: 'https://eu.example', health: {headers: {X-B: own}}}}\n",
        "f");
    ASSERT_TRUE(result.config) << all_lines(result.problems);
    const auto& us = result.config->origins[0].health;
    const auto& eu = result.config->origins[1].health;
    ASSERT_EQ(us.headers.size(), 1U);
    EXPECT_EQ(us.headers[0].name, "X-A");
    ASSERT_EQ(eu.headers.size(), 1U);
    EXPECT_EQ(eu.headers[0].name, "X-B");
    EXPECT_EQ(us.port, 8443U);
    EXPECT_EQ(eu.port, 8443U);
}

TEST(ServerName, IsTheUrlsTheRequestsOrAName) {
    const std::pair<const char*, const char*> rows[] = {{"", "us.example"},
                                                        {"tls: {server_name: origin}", "us.example"},
                                                        {"tls: {server_name: host}", "us.example"},
                                                        {"tls: {server_name: api.example.com}", "api.example.com"},
                                                        {"tls: {server_name: 192.0.2.1}", "192.0.2.1"},
                                                        {"tls: {server_name: '2001:db8::1'}", "2001:db8::1"}};
    for (const auto& [row, name] : rows) {
        const auto result = with_origin(row);
        ASSERT_TRUE(result.config) << row << all_lines(result.problems);
        EXPECT_EQ(result.config->origins[0].server_name(), name) << row;
        EXPECT_EQ(result.config->origins[0].follows_host(),
                  std::string_view{row}.find("name: host") != std::string_view::npos);
    }
    for (const char* const row :
         {"tls: {server_name: 'https://api.example.com'}", "tls: {server_name: 'api.example.com:443'}",
          "tls: {server_name: '*.example.com'}", "tls: {server_name: ''}"})
        EXPECT_FALSE(with_origin(row).config) << row;
}

}  // namespace
}  // namespace nearhop::conf
