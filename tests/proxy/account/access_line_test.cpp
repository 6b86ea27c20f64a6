#include "proxy/account/access_line.h"

#include "proxy/account/log_text.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::account {
namespace {

std::string escaped(std::string_view text) {
    std::string out(text.size() * escaped_at_most, '\0');
    out.resize(static_cast<std::size_t>(write_escaped(out.data(), text) - out.data()));
    return out;
}

std::string line_of(const AccessRecord& record, conf::LogFormat format) {
    const auto room = std::make_unique<char[]>(access_line_room);
    return std::string{format_access_line(room.get(), record, format)};
}

const conf::LogQuery all_of_it;

AccessRecord sample() {
    AccessRecord record;
    record.query = &all_of_it;
    record.time = std::chrono::sys_days{std::chrono::year{2026} / 2 / 28} + std::chrono::hours{23} +
                  std::chrono::minutes{59} + std::chrono::seconds{1} + std::chrono::milliseconds{7};
    record.id = "4bf92f35";
    record.client = *geo::Address::parse("192.0.2.7");
    record.method = "GET";
    record.host = "api.example.com";
    record.path = "/find?q=a b";
    record.status = 200;
    record.site = "main";
    record.origin = "eu-west-1";
    record.reason = steering::Reason::nearest;
    record.has_reason = true;
    record.first_choice = "us-east-1";
    record.passed_over = steering::Reason::down;
    record.place = geo::place_of(*geo::Country::parse("DE"), geo::Source::header);
    record.attempts = 2;
    record.bytes_in = 1;
    record.bytes_out = 18446744073709551615u;
    record.edge_ms = 0.1234;
    record.connect_ms = 12;
    record.origin_ms = 1234.5678;
    record.upgrade = "websocket";
    record.total_ms = -1;  // a clock that could not be read
    return record;
}

const std::vector<std::string> fields{
    "time",  "id",     "client",       "method",       "host",        "path",    "protocol",   "upgrade",   "status",
    "site",  "origin", "reason",       "first_choice", "passed_over", "place",   "geo_source", "geo_level", "attempts",
    "fault", "class",  "class_reason", "bytes_in",     "bytes_out",   "edge_ms", "connect_ms", "origin_ms", "total_ms"};

TEST(LogText, EscapesWhatCouldEndAStringALineOrTheTextItself) {
    const struct {
        std::string_view text, want;
    } cases[] = {
        {"", ""},
        {"/plain?x=1", "/plain?x=1"},
        {"a\"b\\c", "a\\\"b\\\\c"},
        {"\r\n\t\x1b\x7f", "\\u000d\\u000a\\u0009\\u001b\\u007f"},
        {std::string_view{"\0", 1}, "\\u0000"},
        {"caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x8c\x8d", "caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x8c\x8d"},  // good UTF-8 stays
        {"\xc2\x85", "\\u0085"},                               // a C1 control: next line, to a terminal
        {"\xe9", "\\u00e9"},                                   // Latin-1
        {"\xc3", "\\u00c3"},                                   // cut off
        {"\xc0\xaf", "\\u00c0\\u00af"},                        // overlong
        {"\xe0\x80\x80", "\\u00e0\\u0080\\u0080"},             // overlong
        {"\xed\xa0\x80", "\\u00ed\\u00a0\\u0080"},             // surrogate
        {"\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080"},  // above U+10FFFF
        {"\xf8z", "\\u00f8z"},
    };
    for (const auto& [text, want] : cases) EXPECT_EQ(escaped(text), want);
}

TEST(LogText, QuotesLogfmtValuesThatAreNotOneBareWord) {
    const struct {
        std::string_view text, want;
    } cases[] = {{"bare/word-1.2:3", "k=bare/word-1.2:3"},
                 {"", "k=\"\""},
                 {"two words", "k=\"two words\""},
                 {"a=b", "k=\"a=b\""},
                 {"\"", "k=\"\\\"\""},
                 {"x\ny=1", "k=\"x\\u000ay=1\""},
                 {"\xc3\xa9", "k=\"\xc3\xa9\""}};
    for (const auto& [text, want] : cases) {
        std::string line;
        append_logfmt(line, "k", text);
        EXPECT_EQ(line, want);
    }
}

TEST(AccessLine, IsOneJsonObjectWithEveryFieldInOrder) {
    const auto line = line_of(sample(), conf::LogFormat::json);
    ASSERT_TRUE(line.ends_with("}\n"));
    const auto parsed = boost::json::parse(line).as_object();
    std::vector<std::string> keys;
    for (const auto& member : parsed) keys.emplace_back(member.key());
    EXPECT_EQ(keys, fields);
    EXPECT_EQ(parsed.at("time"), "2026-02-28T23:59:01.007Z");
    EXPECT_EQ(parsed.at("client"), "192.0.2.7");
    EXPECT_EQ(parsed.at("path"), "/find?q=a b");
    EXPECT_EQ(parsed.at("protocol"), "HTTP/1.1");
    EXPECT_EQ(parsed.at("status"), 200);
    EXPECT_EQ(parsed.at("place"), "DE");
    EXPECT_EQ(parsed.at("geo_source"), "header");
    EXPECT_EQ(parsed.at("geo_level"), "country");
    EXPECT_EQ(parsed.at("fault"), "-");
    EXPECT_EQ(parsed.at("bytes_out").as_uint64(), 18446744073709551615u);
    EXPECT_DOUBLE_EQ(parsed.at("edge_ms").as_double(), 0.123);
    EXPECT_DOUBLE_EQ(parsed.at("origin_ms").as_double(), 1234.568);
    EXPECT_DOUBLE_EQ(parsed.at("total_ms").as_double(), 0);
}

TEST(AccessLine, IsLogfmtWithEveryFieldInOrder) {
    EXPECT_EQ(line_of(sample(), conf::LogFormat::logfmt),
              "time=2026-02-28T23:59:01.007Z id=4bf92f35 client=192.0.2.7 method=GET host=api.example.com "
              "path=\"/find?q=a b\" protocol=HTTP/1.1 upgrade=websocket status=200 site=main origin=eu-west-1 "
              "reason=nearest first_choice=us-east-1 passed_over=down place=DE "
              "geo_source=header geo_level=country attempts=2 fault=- class=compliant class_reason=- bytes_in=1 "
              "bytes_out=18446744073709551615 "
              "edge_ms=0.123 connect_ms=12.000 origin_ms=1234.568 total_ms=0.000\n");
}

TEST(AccessLine, TellsOfAQueryWhatTheConfigurationLets) {
    using Kind = conf::LogQuery::Kind;
    const std::string long_path = "/" + std::string(8191, 'p');
    const struct {
        conf::LogQuery query;
        std::string path, want;
    } cases[] = {
        {{Kind::keep, {}}, "/p?token=x&page=2", "/p?token=x&page=2"},
        {{Kind::drop, {}}, "/p?token=x&page=2", "/p"},
        {{Kind::drop, {}}, "/p", "/p"},
        {{Kind::drop, {}}, "/p?", "/p"},
        {{Kind::drop, {}}, "/p??a?b", "/p"},
        {{Kind::drop, {}}, "http://a.test/p?token=x", "http://a.test/p"},
        {{Kind::names, {"page", "sort"}}, "/p?token=x&page=2&sort=up&sig=y", "/p?page=2&sort=up"},
        {{Kind::names, {"page"}}, "/p?page=1&token=x&page=2&page", "/p?page=1&page=2&page"},
        {{Kind::names, {"page"}}, "/p?token=x", "/p"},
        {{Kind::names, {"page"}}, "/p?xpage=1&page2=2&PAGE=3&p%61ge=4&&=5", "/p"},
        {{Kind::names, {"page"}}, "/p?page=1?token=x", "/p?page=1?token=x"},  // one value
        {{Kind::names, {"page"}}, "/p", "/p"},
        {{Kind::names, {"page"}}, long_path + "?page=1", long_path},  // where the line is cut in any case
        {{Kind::names, {"page"}}, "/p?page=" + std::string(9000, 'x') + "&page=2", "/p"},
    };
    for (const auto& [query, path, want] : cases) {
        auto record = sample();
        record.path = path;
        record.query = &query;
        const auto parsed = boost::json::parse(line_of(record, conf::LogFormat::json));
        EXPECT_EQ(std::string_view{parsed.at("path").as_string()}, want) << path;
    }
    auto record = sample();
    record.query = nullptr;
    EXPECT_NE(line_of(record, conf::LogFormat::logfmt).find("path=/find "), std::string::npos) << "nobody said it may";
}

TEST(AccessLine, SaysNothingWithADashWhereNothingIsKnown) {
    const auto parsed = boost::json::parse(line_of(AccessRecord{}, conf::LogFormat::json)).as_object();
    for (const char* key :
         {"id", "method", "host", "path", "site", "origin", "reason", "first_choice", "passed_over", "place", "fault"})
        EXPECT_EQ(parsed.at(key), "-") << key;
    EXPECT_EQ(parsed.at("geo_source"), "default");
    EXPECT_EQ(parsed.at("client"), "::");
    EXPECT_EQ(parsed.at("status"), 0);
}

TEST(AccessLine, WritesAddressesAsTheRestOfTheProgramDoes) {
    for (const char* text :
         {"192.0.2.1", "::1", "2001:db8::1", "2001:db8:0:1::2", "fe80::1:0:0:1", "::ffff:0:1.2.3.4"}) {
        auto record = sample();
        record.client = *geo::Address::parse(text);
        const auto parsed = boost::json::parse(line_of(record, conf::LogFormat::json));
        EXPECT_EQ(std::string_view{parsed.at("client").as_string()}, record.client.text());
    }
}

TEST(AccessLine, CutsLongTextsAndStillFitsWhenEveryByteIsEscaped) {
    const std::string hostile(100'000, '\x01');
    auto record = sample();
    record.id = record.method = record.host = record.path = record.site = record.origin = record.first_choice = hostile;
    for (const auto format : {conf::LogFormat::json, conf::LogFormat::logfmt}) {
        const auto line = line_of(record, format);
        EXPECT_LE(line.size(), access_line_room);
        EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
        EXPECT_TRUE(line.ends_with(format == conf::LogFormat::json ? "}\n" : "total_ms=0.000\n"));
    }
    const auto parsed = boost::json::parse(line_of(record, conf::LogFormat::json));
    EXPECT_EQ(parsed.at("path").as_string().size(), 8192u);
    EXPECT_EQ(parsed.at("host").as_string().size(), 256u);
}

TEST(AccessLine, StaysOneValidLineWhateverAClientSends) {
    for (int byte = 0; byte < 256; ++byte) {
        const std::string text{"/a", 2};
        const std::string path = text + static_cast<char>(byte) + "\" status=200";
        auto record = sample();
        record.path = path;
        const auto json = line_of(record, conf::LogFormat::json);
        boost::system::error_code error;
        boost::json::parse(json, error);
        EXPECT_FALSE(error) << byte << " " << json;
        for (const auto& line : {json, line_of(record, conf::LogFormat::logfmt)})
            for (std::size_t i = 0; i + 1 < line.size(); ++i)
                EXPECT_FALSE(std::iscntrl(static_cast<unsigned char>(line[i]))) << byte << " " << line;
    }
}

}  // namespace
}  // namespace nearhop::account
