#include "proxy/control/probe.h"

#include "proxy/control/origin_watch.h"
#include "proxy/wire/origin_tls.h"
#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <chrono>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace nearhop::control {
namespace {

using namespace std::chrono_literals;
using health::CertificateProblem;
using health::Reason;

const std::string ok_answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct Target {
    shared::OriginInfo info;
    conf::Probe settings;
    shared::Endpoint endpoint;

    explicit Target(std::uint16_t port, bool tls = false) {
        info.name = "here";
        info.tls = tls;
        info.host = info.server_name = "origin.test";
        info.port = port;
        info.host_field = "origin.test:" + std::to_string(port);
        endpoint = endpoint_of(*geo::Address::parse("127.0.0.1"), port);
        settings.timeout.value = 5s;
        settings.connect_timeout = 2s;
    }
    std::shared_ptr<const ProbePlan> plan() const { return std::make_shared<const ProbePlan>(info, settings); }
};

loop::Task<> probe_times(loop::Loop& loop, const Target& target, int times, std::vector<ProbeOutcome>& outcomes) {
    Prober prober{loop, target.endpoint};
    const auto plan = target.plan();
    for (int i = 0; i < times; ++i) outcomes.push_back(co_await prober.probe(plan));
}

std::vector<ProbeOutcome> probe(const Target& target, int times = 1) {
    loop::Loop loop;
    std::vector<ProbeOutcome> outcomes;
    EXPECT_TRUE(drive(loop, probe_times(loop, target, times, outcomes)));
    return outcomes;
}

/// What an origin says over plain HTTP, and what a probe makes of it. '|' in the answer: the origin hangs from there;
/// otherwise it closes the connection after the answer.
struct Row {
    const char* name;
    std::string answer;
    Reason reason = Reason::passed;
    unsigned status = 200;
    std::string body_contains = "";
    std::uint64_t body_limit = 64 * 1024;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.answer.substr(0, 60); }

class Answers : public ::testing::TestWithParam<Row> {};

TEST_P(Answers, GiveTheirReason) {
    const Row& row = GetParam();
    const auto cut = row.answer.find('|');
    ScriptedOrigin origin{[&](Peer& peer) {
        peer.read_head();
        peer.send(row.answer.substr(0, cut));
        if (cut != row.answer.npos) peer.wait_for_close();
    }};
    Target target{origin.port()};
    target.settings.body_contains = row.body_contains;
    target.settings.body_limit = row.body_limit;
    if (cut != row.answer.npos) target.settings.timeout.value = 100ms;
    const auto outcome = probe(target).at(0);
    EXPECT_EQ(outcome.result.passed, row.reason == Reason::passed);
    EXPECT_EQ(health::name(outcome.result.reason), health::name(row.reason)) << outcome.detail;
    EXPECT_EQ(outcome.result.status, row.status);
    EXPECT_GE(outcome.phases.connect, 0);
    EXPECT_LT(outcome.phases.tls, 0);
    EXPECT_EQ(outcome.phases.first_byte >= 0, cut != 0 && !row.answer.empty());
}

const Row rows[] = {
    {"Length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
    {"NoContent", "HTTP/1.1 204 No Content\r\n\r\n", Reason::passed, 204},
    {"Chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
    {"UntilClose", "HTTP/1.1 200 OK\r\n\r\nall is well"},
    {"OldVersion", "HTTP/1.0 200 OK\r\n\r\nall is well"},
    {"AfterInterim",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    {"Unavailable", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Reason::status, 503},
    {"Redirect", "HTTP/1.1 302 Found\r\nLocation: /error\r\nContent-Length: 0\r\n\r\n", Reason::status, 302},
    {"TextInLength", "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well", Reason::passed, 200, "is well"},
    {"TextOverChunks",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n4\r\n is \r\n4\r\nwell\r\n0\r\n\r\n",
     Reason::passed, 200, "all is well"},
    {"TextUntilClose", "HTTP/1.1 200 OK\r\n\r\nall is well", Reason::passed, 200, "well"},
    {"TextNotThere", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsick", Reason::body_mismatch, 200, "well"},
    {"TextWithoutBody", "HTTP/1.1 204 No Content\r\n\r\n", Reason::body_mismatch, 204, "well"},
    {"TextBehindTheLimit", "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well", Reason::body_mismatch, 200,
     "well", 9},
    {"BodyAboveTheLimit", "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nall is well|", Reason::passed, 200, "", 5},
    {"Garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n", Reason::bad_response, 0},
    {"BareFeeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", Reason::bad_response, 0},
    {"BothFramings", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     Reason::bad_response, 0},
    {"Switching", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", Reason::bad_response, 0},
    {"ManyInterim",
     [] {
         std::string text;
         for (int i = 0; i < 9; ++i) text += "HTTP/1.1 100 Continue\r\n\r\n";
         return text + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
     }(),
     Reason::bad_response, 0},
    {"HugeHead", "HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n", Reason::bad_response, 0},
    {"Nothing", "", Reason::reset, 0},
    {"EndInHead", "HTTP/1.1 200 OK\r\nContent-", Reason::bad_response, 0},
    {"EndInBody", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", Reason::bad_response},
    {"EndInChunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok", Reason::bad_response},
    {"BadChunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Reason::bad_response},
    {"HangBeforeHead", "|", Reason::head_timeout, 0},
    {"HangInHead", "HTTP/1.1 200 OK\r\n|", Reason::head_timeout, 0},
    {"HangInBody", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok|", Reason::body_timeout},
};
INSTANTIATE_TEST_SUITE_P(Probe, Answers, ::testing::ValuesIn(rows),
                         [](const auto& row) { return std::string{row.param.name}; });

TEST(Probe, AsksForThePathAndNamesItselfAndTheHost) {
    std::string head;
    ScriptedOrigin origin{[&](Peer& peer) {
        head = peer.read_head();
        peer.send(ok_answer);
        peer.wait_for_close();
    }};
    Target target{origin.port()};
    target.settings.path = "/ready?deep=1";
    ASSERT_TRUE(probe(target).at(0).result.passed);
    EXPECT_EQ(head, "GET /ready?deep=1 HTTP/1.1\r\nHost: origin.test:" + std::to_string(origin.port()) +
                        "\r\nUser-Agent: nearhop-probe\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
                        "Connection: keep-alive\r\n\r\n");
    target.settings.host = "api.example.com";
    EXPECT_NE(target.plan()->request.find("\r\nHost: api.example.com\r\n"), std::string::npos);
}

TEST(Probe, PassesTheConfiguredStatusesOnly) {
    ScriptedOrigin origin{ScriptedOrigin::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")};
    Target target{origin.port()};
    target.settings.statuses = {{200, 200}, {404, 410}};
    EXPECT_TRUE(probe(target).at(0).result.passed);
    target.settings.statuses = {{200, 403}, {405, 599}};
    EXPECT_EQ(probe(target).at(0).result.reason, Reason::status);
}

TEST(Probe, KeepsTheConnectionThatTheOriginKeeps) {
    ScriptedOrigin origin{ScriptedOrigin::answering(ok_answer)};
    const auto outcomes = probe(Target{origin.port()}, 3);
    ASSERT_EQ(outcomes.size(), 3u);
    EXPECT_FALSE(outcomes[0].reused);
    EXPECT_TRUE(outcomes[1].reused && outcomes[2].reused);
    EXPECT_TRUE(outcomes[2].result.passed);
    EXPECT_LT(outcomes[1].phases.connect, 0) << "only a new connection measures the round trip";
    EXPECT_EQ(origin.connections(), 1);
}

TEST(Probe, DoesNotKeepAConnectionAgainstTheOriginsWord) {
    for (const std::string answer : {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                                     "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
                                     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and stray bytes"}) {
        ScriptedOrigin origin{ScriptedOrigin::answering(answer)};
        const auto outcomes = probe(Target{origin.port()}, 2);
        EXPECT_TRUE(outcomes.at(1).result.passed) << answer;
        EXPECT_FALSE(outcomes.at(1).reused) << answer;
    }
}

TEST(Probe, AKeptConnectionThatTheOriginClosesOnTheNextRequestDoesNotCount) {
    ScriptedOrigin origin{[](Peer& peer) {
        peer.read_head();
        peer.send(ok_answer);
        peer.read_head();  // and away
    }};
    const auto outcomes = probe(Target{origin.port()}, 2);
    EXPECT_TRUE(outcomes.at(1).result.passed);
    EXPECT_FALSE(outcomes.at(1).reused);
    EXPECT_EQ(origin.connections(), 2);
}

TEST(Probe, SaysEarlyThatNothingOfItArrives) {
    ScriptedOrigin origin{[](Peer& peer) {
        peer.read_head();
        peer.drop_packets();
        peer.send(ok_answer);
        peer.wait_for_close();
    }};
    Target target{origin.port()};
    target.settings.timeout.value = 60s;
    const auto outcomes = probe(target, 2);
    EXPECT_TRUE(outcomes.at(0).result.passed);
    EXPECT_FALSE(outcomes.at(0).path_lost);
    EXPECT_TRUE(outcomes.at(1).path_lost && outcomes.at(1).reused);
    EXPECT_EQ(health::name(outcomes.at(1).result.reason), health::name(Reason::connect_timeout));
    EXPECT_LT(outcomes.at(1).phases.total, 20) << "long before its time is over";
}

TEST(Probe, AnotherPlanGetsAnotherConnection) {
    ScriptedOrigin origin{ScriptedOrigin::answering(ok_answer)};
    loop::Loop loop;
    const Target target{origin.port()};
    const auto body = [](loop::Loop& on, const Target& to) -> loop::Task<> {
        Prober prober{on, to.endpoint};
        (void)co_await prober.probe(to.plan());
        const auto outcome = co_await prober.probe(to.plan());
        EXPECT_TRUE(outcome.result.passed);
        EXPECT_FALSE(outcome.reused);
    };
    EXPECT_TRUE(drive(loop, body(loop, target)));
    EXPECT_EQ(origin.connections(), 2);
}

TEST(Probe, SaysWhenNobodyListens) {
    const auto outcome = probe(Target{closed_port()}).at(0);
    EXPECT_EQ(outcome.result.reason, Reason::refused);
    EXPECT_LT(outcome.phases.connect, 0);
}

TEST(Probe, GivesUpOnAConnectThatHangs) {
    // A listener with a full queue: Linux drops further SYNs.
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(listen(listener, 0), 0);
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    std::vector<int> fillers;
    for (int i = 0; i < 4; ++i) {
        fillers.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        (void)!connect(fillers.back(), reinterpret_cast<sockaddr*>(&address), size);
    }
    Target target{ntohs(address.sin_port)};
    target.settings.connect_timeout = 100ms;
    const auto outcome = probe(target).at(0);
    EXPECT_EQ(health::name(outcome.result.reason), health::name(Reason::connect_timeout));
    EXPECT_LT(outcome.phases.total, 4);
    for (const int filler : fillers) close(filler);
    close(listener);
}

TEST(Probe, DroppedHalfWayLeavesNothingBehindAndTheNextOneStartsAnew) {
    ScriptedOrigin origin{[](Peer& peer) {
        peer.read_head();
        if (peer.connection == 0) return peer.wait_for_close();
        peer.send(ok_answer);
        peer.wait_for_close();
    }};
    loop::Loop loop;
    const Target target{origin.port()};
    const auto body = [](loop::Loop& on, const Target& to, const ScriptedOrigin& at) -> loop::Task<> {
        Prober prober{on, to.endpoint};
        {
            const auto dropped = prober.probe(to.plan());
            dropped.start();
            const auto is_connected = [&at] { return at.connections() == 1; };
            EXPECT_TRUE(co_await until(on, is_connected));
            EXPECT_FALSE(dropped.done());
        }
        const auto outcome = co_await prober.probe(to.plan());
        EXPECT_TRUE(outcome.result.passed);
        EXPECT_FALSE(outcome.reused);
    };
    EXPECT_TRUE(drive(loop, body(loop, target, origin)));
}

struct Trust {
    Folder folder;
    Identity authority{{.authority = true}};
    std::shared_ptr<ssl_ctx_st> context;

    Trust() {
        conf::Problems problems;
        context = wire::load_origin_tls({folder.write("ca.pem", authority.certificate_pem()), {}, "ca"}, {}, problems)
                      .context;
        EXPECT_TRUE(context) << problems.at(0).what;
    }
    Target target(std::uint16_t port) const {
        Target made{port, true};
        made.info.context = context;
        return made;
    }
};

TEST(TlsProbe, PassesOverAVerifiedConnectionAndKeepsIt) {
    const Trust trust;
    const Identity identity{{.issuer = &trust.authority}};
    ScriptedOrigin origin{ScriptedOrigin::answering(ok_answer), &identity};
    const auto outcomes = probe(trust.target(origin.port()), 2);
    EXPECT_TRUE(outcomes.at(0).result.passed) << outcomes[0].detail;
    EXPECT_GE(outcomes[0].phases.tls, 0);
    EXPECT_TRUE(outcomes.at(1).result.passed && outcomes[1].reused) << outcomes[1].detail;
    EXPECT_EQ(origin.connections(), 1);
}

TEST(TlsProbe, VerifiesTheAddressOfAnOriginWithoutAName) {
    const Trust trust;
    const Identity right{{.names = "IP:127.0.0.1", .issuer = &trust.authority}};
    const Identity wrong{{.names = "IP:127.0.0.2,DNS:127.0.0.1", .issuer = &trust.authority}};
    for (const auto& [identity, passes] : {std::pair{&right, true}, std::pair{&wrong, false}}) {
        ScriptedOrigin origin{ScriptedOrigin::answering(ok_answer), identity};
        auto target = trust.target(origin.port());
        target.info.host = target.info.server_name = "127.0.0.1";
        target.info.host_is_address = true;
        const auto outcome = probe(target).at(0);
        EXPECT_EQ(outcome.result.passed, passes) << outcome.detail;
        EXPECT_EQ(outcome.result.certificate, passes ? CertificateProblem::none : CertificateProblem::wrong_name);
    }
}

TEST(TlsProbe, SaysWhatIsWrongWithACertificate) {
    const Trust trust;
    const Identity stranger{{.authority = true}};
    const Identity expired{{.begins_days = -30, .ends_days = -1, .issuer = &trust.authority}};
    const Identity early{{.begins_days = 2, .issuer = &trust.authority}};
    const Identity wrong{{.names = "DNS:other.test", .issuer = &trust.authority}};
    const Identity unknown{{.issuer = &stranger}};
    const Identity alone{{}};
    const std::pair<const Identity*, CertificateProblem> cases[] = {
        {&expired, CertificateProblem::expired},   {&early, CertificateProblem::not_yet_valid},
        {&wrong, CertificateProblem::wrong_name},  {&unknown, CertificateProblem::untrusted},
        {&alone, CertificateProblem::self_signed},
    };
    for (const auto& [identity, problem] : cases) {
        ScriptedOrigin origin{ScriptedOrigin::answering(ok_answer), identity};
        const auto outcome = probe(trust.target(origin.port())).at(0);
        EXPECT_EQ(health::name(outcome.result.reason), health::name(Reason::tls_certificate));
        EXPECT_EQ(health::name(outcome.result.certificate), health::name(problem)) << outcome.detail;
        EXPECT_LT(outcome.phases.first_byte, 0);
    }
}

TEST(TlsProbe, TellsAHangFromAnOriginThatSpeaksNoTls) {
    const Trust trust;
    // Plain bytes instead of a handshake never count as an answer (CVE-2026-1642).
    ScriptedOrigin plain{[](Peer& peer) { peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); }};
    const auto refused = probe(trust.target(plain.port())).at(0);
    EXPECT_EQ(health::name(refused.result.reason), health::name(Reason::tls_failed));

    ScriptedOrigin hangs{[](Peer& peer) { peer.wait_for_close(); }};
    auto target = trust.target(hangs.port());
    target.settings.timeout.value = 100ms;
    EXPECT_EQ(health::name(probe(target).at(0).result.reason), health::name(Reason::tls_timeout));
}

}  // namespace
}  // namespace nearhop::control
