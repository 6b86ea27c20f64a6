#include "proxy/control/http_client.h"

#include "proxy/control/origin_watch.h"
#include "proxy/wire/origin_tls.h"
#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

namespace nearhop::control {
namespace {

using namespace std::chrono_literals;
using control::HttpAnswer;
using control::HttpClient;
using control::HttpFailure;
using control::HttpLimits;
using control::HttpServer;

const std::string get = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

HttpServer server_at(std::uint16_t port) {
    const auto endpoint = endpoint_of(*geo::Address::parse("127.0.0.1"), port);
    return {.address = endpoint.address, .size = endpoint.size};
}

loop::Task<> ask(loop::Loop& loop, const HttpServer& server, std::vector<std::string> messages, HttpLimits limits,
                 std::vector<HttpAnswer>& answers) {
    HttpClient client{loop, server};
    for (const auto& message : messages) answers.push_back(co_await client.ask(message, limits));
}

std::vector<HttpAnswer> answers_of(const HttpServer& server, std::vector<std::string> messages,
                                   const HttpLimits& limits = {}) {
    loop::Loop loop;
    std::vector<HttpAnswer> answers;
    EXPECT_TRUE(drive(loop, ask(loop, server, std::move(messages), limits, answers)));
    return answers;
}

/// '|' in the answer: the server hangs from there; otherwise it closes the connection behind it.
struct Row {
    const char* name;
    std::string answer;
    HttpFailure failure;
    std::string body;
    HttpLimits limits{};
    std::string message = get;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class Exchanges : public ::testing::TestWithParam<Row> {};

TEST_P(Exchanges, EndAsTheyMust) {
    const Row& row = GetParam();
    const auto cut = row.answer.find('|');
    ScriptedOrigin origin{[&](Peer& peer) {
        peer.read_head();
        peer.send(row.answer.substr(0, cut));
        if (cut != row.answer.npos) peer.wait_for_close();
    }};
    const auto answer = answers_of(server_at(origin.port()), {row.message}, row.limits).at(0);
    EXPECT_EQ(static_cast<int>(answer.failure), static_cast<int>(row.failure)) << answer.detail;
    EXPECT_EQ(answer.body, row.body);
    EXPECT_EQ(origin.connections(), 1) << "a new connection is never tried twice";
}

const Row rows[] = {
    {"Length", ok, HttpFailure::none, "ok"},
    {"Chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", HttpFailure::none, "ok"},
    {"UntilClose", "HTTP/1.1 200 OK\r\n\r\nok", HttpFailure::none, "ok"},
    {"HeadHasNoBody",
     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
     HttpFailure::none,
     "",
     {},
     "HEAD /x HTTP/1.1\r\nHost: a.test\r\n\r\n"},
    {"TooLarge",
     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789",
     HttpFailure::too_large,
     "",
     {.body_bytes = 8}},
    {"CutWhereThatIsAskedFor",
     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789",
     HttpFailure::none,
     "12345678",
     {.body_bytes = 8, .cut_body = true}},
    {"JustLargeEnough",
     "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678",
     HttpFailure::none,
     "12345678",
     {.body_bytes = 8}},
    {"HeadTooLarge",
     "HTTP/1.1 200 OK\r\nX: " + std::string(5000, 'x') + "\r\n\r\n",
     HttpFailure::malformed,
     "",
     {.head_bytes = 4096}},
    {"TwoFramings", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", HttpFailure::malformed, ""},
    {"NoHttp", "SSH-2.0\r\n\r\n", HttpFailure::malformed, ""},
    {"Nothing", "", HttpFailure::closed, ""},
    {"NeverAnswered", "|", HttpFailure::head_timeout, "", {.whole = 100ms}},
    {"SilentBeforeTheHead", "|", HttpFailure::head_timeout, "", {.silence = 100ms}},
    {"SilentWithinTheBody",
     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok|",
     HttpFailure::body_timeout,
     "ok",
     {.silence = 100ms}},
};
INSTANTIATE_TEST_SUITE_P(HttpClient, Exchanges, ::testing::ValuesIn(rows),
                         [](const auto& row) { return std::string{row.param.name}; });

TEST(HttpClient, KeepsItsConnectionForAsLongAsItMay) {
    ScriptedOrigin origin{ScriptedOrigin::answering(ok)};
    const auto server = server_at(origin.port());
    const auto kept = answers_of(server, {get, get, get});
    EXPECT_EQ(origin.connections(), 1);
    EXPECT_TRUE(!kept.at(0).reused && kept.at(1).reused && kept.at(2).reused);
    EXPECT_LT(kept.at(2).phases.connect, 0);
    const auto each = answers_of(server, {get, get}, {.connection_age = 0ms});
    EXPECT_EQ(origin.connections(), 3);
    EXPECT_FALSE(each.at(1).reused);
}

/// Answers once on each connection, closes it with the next request, and keeps count of both.
struct ClosesOnTheSecond {
    std::atomic<int> heads{0};
    ScriptedOrigin origin{[this](Peer& peer) {
        peer.read_head();
        ++heads;
        peer.send(ok);
        if (!peer.read_head().empty()) ++heads;
    }};
};

TEST(HttpClient, SendsAGetAgainWhereAKeptConnectionWasClosedAndAPostNever) {
    ClosesOnTheSecond closing;
    const auto server = server_at(closing.origin.port());
    const auto gets = answers_of(server, {get, get});
    EXPECT_EQ(gets.at(1).body, "ok");
    EXPECT_FALSE(gets.at(1).reused);
    EXPECT_EQ(closing.heads, 3);
    const auto posts = answers_of(server, {get, "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"});
    EXPECT_EQ(static_cast<int>(posts.at(1).failure), static_cast<int>(HttpFailure::closed));
    EXPECT_EQ(closing.heads, 5);
}

TEST(HttpClient, DoesNotAskOverAConnectionOnWhichSomethingCameUnasked) {
    ScriptedOrigin origin{[](Peer& peer) {
        peer.read_head();
        peer.send(ok + "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
        peer.wait_for_close();
    }};
    const auto answers = answers_of(server_at(origin.port()), {get, get});
    EXPECT_EQ(answers.at(1).status, 200u);
    EXPECT_EQ(origin.connections(), 2);
}

TEST(HttpClient, LetsTheCallerEndAnExchangeByItsHead) {
    ScriptedOrigin origin{ScriptedOrigin::answering("HTTP/1.1 503 No\r\nContent-Length: 99999\r\n\r\n")};
    loop::Loop loop;
    const auto body = [](loop::Loop& on, HttpServer server) -> loop::Task<> {
        HttpClient client{on, std::move(server)};
        const HttpClient::OnHead only_good = [](const wire::ResponseHead& head) { return head.status == 200; };
        const auto answer = co_await client.ask(get, {}, only_good);
        EXPECT_EQ(static_cast<int>(answer.failure), static_cast<int>(HttpFailure::none));
        EXPECT_EQ(answer.status, 503u);
    };
    EXPECT_TRUE(drive(loop, body(loop, server_at(origin.port()))));
}

TEST(HttpClient, VerifiesTheCertificateAndItsName) {
    const Folder folder;
    const Identity authority{{.authority = true}}, other{{.authority = true}};
    const Identity leaf{{.names = "DNS:a.test,IP:127.0.0.1", .issuer = &authority}};
    ScriptedOrigin origin{ScriptedOrigin::answering(ok), &leaf};
    const auto context_of = [&](const Identity& from, const char* file) {
        conf::Problems problems;
        return wire::load_origin_tls({folder.write(file, from.certificate_pem()), {}, "ca"}, {}, problems).context;
    };
    const auto good = context_of(authority, "good.pem"), bad = context_of(other, "bad.pem");
    const struct {
        std::shared_ptr<ssl_ctx_st> tls;
        std::string name;
        HttpFailure failure;
    } cases[] = {{good, "a.test", HttpFailure::none},
                 {good, "127.0.0.1", HttpFailure::none},
                 {good, "", HttpFailure::none},
                 {good, "b.test", HttpFailure::certificate},
                 {good, "127.0.0.2", HttpFailure::certificate},
                 {bad, "a.test", HttpFailure::certificate}};
    for (const auto& [tls, name, failure] : cases) {
        auto server = server_at(origin.port());
        server.tls = tls;
        server.name = name;
        const auto answers = answers_of(server, {get, get});
        EXPECT_EQ(static_cast<int>(answers.at(0).failure), static_cast<int>(failure)) << name << answers.at(0).detail;
        EXPECT_EQ(answers.at(1).reused, failure == HttpFailure::none) << name;
    }
}

TEST(HttpClient, SendsARequestThatNoSocketTakesAtOnce) {
    const std::string body(8 * 1024 * 1024, 'b');
    std::atomic<std::size_t> came{0};
    ScriptedOrigin origin{[&](Peer& peer) {
        peer.read_head();
        came = peer.read_body(body.size());
        peer.send(ok);
    }};
    const auto message =
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    const auto answer = answers_of(server_at(origin.port()), {message}).at(0);
    EXPECT_EQ(answer.body, "ok");
    EXPECT_EQ(came, body.size());
}

}  // namespace
}  // namespace nearhop::control
