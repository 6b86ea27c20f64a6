#include "tests/proxy/wire/stream_support.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <stdexcept>
#include <string>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace nearhop::wire {
namespace {

TEST_F(StreamTest, GarbageInsteadOfAHandshakeFailsOnBothSides) {  // CVE-2026-1642
    const Identity identity;
    start_tls(identity);
    server.stream.socket().close();
    test::TcpPair pair;
    End plain{loop};
    End secure{loop};
    plain.open(loop, std::move(pair.ours));
    secure.open(loop, std::move(pair.theirs));
    secure.stream.start_tls_client(connecting.get(), "origin.test", false, nullptr);
    Io result = Io::ok;
    const std::string words = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const auto one = speak(plain, words);
    const auto two = shake(secure, result);
    run({&one, &two});
    EXPECT_EQ(result, Io::failed);
    EXPECT_FALSE(secure.stream.tls_failure().certificate);
    EXPECT_NE(secure.stream.tls_failure().error, 0UL);
    EXPECT_TRUE(secure.stream.in().empty()) << "not a byte of it gets further";
}

TEST_F(StreamTest, AnEndInsideTheHandshakeIsAFailureWithoutAnError) {
    const Identity identity;
    start_tls(identity);
    server.stream.socket().shutdown_write();
    Io result = Io::ok;
    const auto one = shake(client, result);
    run({&one});
    EXPECT_EQ(result, Io::failed);
    EXPECT_EQ(client.stream.tls_failure().text(), "closed during the handshake");
}

struct Verify {
    const char* what;
    const char* names;
    const char* wanted;
    bool is_address;
    long from, to;
    bool trusted;
    long error;
};
void PrintTo(const Verify& row, std::ostream* out) { *out << row.what; }
struct Verification : StreamTest, testing::WithParamInterface<Verify> {};
TEST_P(Verification, OfTheOriginsCertificate) {
    const auto& row = GetParam();
    const Identity identity{row.names, row.from, row.to};
    const Identity stranger;
    start_tls(identity, row.wanted, row.is_address, nullptr, row.trusted ? &identity : &stranger);
    Io ours = Io::ok;
    Io theirs = Io::ok;
    const auto closing = [](End& end, Io& result) -> Task<void> {
        result = co_await handshake(end);
        end.stream.socket().close();
    };
    const auto one = closing(client, ours);
    const auto two = shake(server, theirs);
    run({&one, &two});
    EXPECT_EQ(ours, row.error == X509_V_OK ? Io::ok : Io::failed);
    EXPECT_EQ(client.stream.tls_failure().certificate, row.error != X509_V_OK);
    EXPECT_EQ(client.stream.tls_failure().verify_result, row.error) << client.stream.tls_failure().text();
}
INSTANTIATE_TEST_SUITE_P(
    Table, Verification,
    testing::Values(
        Verify{"Good", "DNS:origin.test", "origin.test", false, -60, 60, true, X509_V_OK},
        Verify{"Wildcard", "DNS:*.origin.test", "eu.origin.test", false, -60, 60, true, X509_V_OK},
        Verify{"AnyCase", "DNS:Origin.Test", "origin.test", false, -60, 60, true, X509_V_OK},
        Verify{"Expired", "DNS:origin.test", "origin.test", false, -120, -60, true, X509_V_ERR_CERT_HAS_EXPIRED},
        Verify{"NotYet", "DNS:origin.test", "origin.test", false, 600, 1200, true, X509_V_ERR_CERT_NOT_YET_VALID},
        Verify{"WrongName", "DNS:other.test", "origin.test", false, -60, 60, true, X509_V_ERR_HOSTNAME_MISMATCH},
        Verify{"Address", "IP:127.0.0.1", "127.0.0.1", true, -60, 60, true, X509_V_OK},
        Verify{"WrongAddress", "IP:127.0.0.2", "127.0.0.1", true, -60, 60, true, X509_V_ERR_IP_ADDRESS_MISMATCH},
        Verify{"AddressAsName", "DNS:127.0.0.1", "127.0.0.1", true, -60, 60, true, X509_V_ERR_IP_ADDRESS_MISMATCH},
        // RFC 9525: a certificate speaks through its alternative names alone.
        Verify{"CommonNameAlone", nullptr, "nobody", false, -60, 60, true, X509_V_ERR_HOSTNAME_MISMATCH},
        Verify{"CommonNameBesideAnAddress", "IP:127.0.0.1", "nobody", false, -60, 60, true,
               X509_V_ERR_HOSTNAME_MISMATCH},
        Verify{"CommonNameBesideAMailAddress", "email:a@nobody", "nobody", false, -60, 60, true,
               X509_V_ERR_HOSTNAME_MISMATCH},
        Verify{"PartOfALabel", "DNS:o*.test", "origin.test", false, -60, 60, true, X509_V_ERR_HOSTNAME_MISMATCH},
        Verify{"Stranger", "DNS:origin.test", "origin.test", false, -60, 60, false,
               X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT}),
    [](const auto& row) { return row.param.what; });

TEST_F(StreamTest, OneTicketResumesTheNextSession) {
    const Identity identity;
    start_tls(identity);
    SslSession ticket;
    SSL_CTX_set_session_cache_mode(connecting.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(connecting.get(), [](SSL* ssl, SSL_SESSION* session) {
        static_cast<SslSession*>(SSL_get_app_data(ssl))->reset(session);
        return 1;
    });
    SSL_set_app_data(client.stream.tls(), &ticket);
    const auto conversation = [](End& end) -> Task<void> {
        co_await handshake(end);
        co_await send(end, "x");
        co_await receive(end, 1);
    };
    const auto one = conversation(client);
    const auto two = echo(server, true, 1);
    run({&one, &two});
    ASSERT_NE(ticket, nullptr);

    Loop again;
    End second{again};
    End other{again};
    test::TcpPair pair;
    second.open(again, std::move(pair.ours));
    other.open(again, std::move(pair.theirs));
    other.stream.start_tls_server(accepting.get());
    second.stream.start_tls_client(connecting.get(), "origin.test", false, ticket.get());
    SSL_set_app_data(second.stream.tls(), &ticket);
    const auto three = conversation(second);
    const auto four = echo(other, true, 1);
    three.start();
    four.start();
    ASSERT_TRUE((Until{again, [&] { return three.done() && four.done(); }}.run()));
    EXPECT_EQ(SSL_session_reused(second.stream.tls()), 1);
    EXPECT_EQ(SSL_session_reused(other.stream.tls()), 1);
}

TEST_F(StreamTest, ASessionIsNotResumedBeyondItsCertificate) {
    const Identity identity{"DNS:origin.test", -120, -60};
    start_tls(identity);
    // Good when the session was made, as it were.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(connecting.get()), X509_V_FLAG_NO_CHECK_TIME);
    SslSession ticket;
    const auto conversation = [](End& end) -> Task<void> {
        co_await handshake(end);
        co_await send(end, "x");
        co_await receive(end, 1);
    };
    for (int i = 0; i < 2; ++i) {
        Loop again;
        End ours{again};
        End theirs{again};
        test::TcpPair pair;
        ours.open(again, std::move(pair.ours));
        theirs.open(again, std::move(pair.theirs));
        theirs.stream.start_tls_server(accepting.get());
        ours.stream.start_tls_client(connecting.get(), "origin.test", false, ticket.get());
        const auto one = conversation(ours);
        const auto two = echo(theirs, true, 1);
        one.start();
        two.start();
        ASSERT_TRUE((Until{again, [&] { return one.done() && two.done(); }}.run()));
        EXPECT_EQ(SSL_session_reused(ours.stream.tls()), 0);
        ticket.reset(SSL_get1_session(ours.stream.tls()));
        ASSERT_EQ(SSL_SESSION_is_resumable(ticket.get()), 1);
    }
}

/// Sends, past OpenSSL, a record that nobody can decrypt.
void send_broken_record(End& end) {
    std::string record = "\x17\x03\x03";
    record += {'\0', '\x40'};
    record.resize(5 + 0x40, 'x');
    ASSERT_EQ(::send(end.stream.socket().descriptor(), record.data(), record.size(), 0),
              static_cast<ssize_t>(record.size()));
    end.stream.sent += record.size();
}

/// Once everything that `from` has sent is there to be read.
Io fill_all(End& end, const End& from) {
    int waiting = 0;
    do {
        ::ioctl(end.stream.socket().descriptor(), FIONREAD, &waiting);
    } while (end.stream.received + static_cast<std::uint64_t>(waiting) < from.stream.sent);
    end.stream.socket().on_events(EPOLLIN);
    return end.stream.fill(50'000);
}

struct AfterTheHandshake : StreamTest {
    void SetUp() override {
        start_tls(identity);
        const auto conversation = [](End& end) -> Task<void> {
            co_await handshake(end);
            co_await send(end, "x");
            co_await receive(end, 1);
        };
        const auto one = conversation(client);
        const auto two = echo(server, true, 1);
        run({&one, &two});
    }
    const Identity identity;
};

TEST_F(AfterTheHandshake, WhatAClientSentBeforeARecordThatBreaksTlsIsNotBegunWithAndTheAlertLeaves) {
    client.stream.write("hello");
    ASSERT_EQ(client.stream.flush(), Io::ok);
    send_broken_record(client);
    EXPECT_EQ(fill_all(server, client), Io::failed);
    EXPECT_TRUE(server.stream.failed() && server.stream.over());
    EXPECT_EQ(server.stream.tls_failure().text(), "decryption failed or bad record mac");
    EXPECT_EQ(fill_all(client, server), Io::failed);
    EXPECT_EQ(client.stream.tls_failure().text(), "sslv3 alert bad record mac") << "at once, with no write to carry it";
    // And so it stays.
    EXPECT_EQ(fill_all(server, client), Io::failed);
    server.stream.write("nothing of this leaves");
    server.stream.close_notify();
    EXPECT_EQ(server.stream.unsent(), 0U);
    EXPECT_EQ(server.stream.flush(), Io::failed);
}

TEST_F(AfterTheHandshake, WhatAServerSentBeforeARecordThatBreaksTlsIsReadFirst) {
    server.stream.write("hello");
    ASSERT_EQ(server.stream.flush(), Io::ok);
    send_broken_record(server);
    EXPECT_EQ(fill_all(client, server), Io::ok);
    EXPECT_EQ(client.stream.in().view(), "hello");
    EXPECT_TRUE(client.stream.over()) << "no answer to anything more can come on it";
    EXPECT_EQ(fill_all(server, client), Io::failed);
    EXPECT_EQ(server.stream.tls_failure().text(), "sslv3 alert bad record mac");
    EXPECT_EQ(fill_all(client, server), Io::failed);
}

TEST_F(AfterTheHandshake, AnEndThatCameWithTheLastBytesIsKnownAtOnce) {
    server.stream.write("hello");
    server.stream.close_notify();
    ASSERT_EQ(server.stream.flush(), Io::ok);
    EXPECT_EQ(fill_all(client, server), Io::ok);
    EXPECT_TRUE(client.stream.over() && !client.stream.failed());
    EXPECT_EQ(fill_all(client, server), Io::closed);
    EXPECT_TRUE(client.stream.ended_orderly());
}

TEST_F(StreamTest, RecordsThatHoldNothingTakeTheirTurnOnly) {
    const Identity identity;
    start_tls(identity);
    bool flooded = false;
    const auto flooding = [](End& end, End& other, bool& done) -> Task<void> {
        co_await handshake(end);
        co_await receive(end, 1);
        while (end.stream.unsent() < 200'000) {
            SSL_key_update(end.stream.tls(), SSL_KEY_UPDATE_NOT_REQUESTED);
            SSL_do_handshake(end.stream.tls());
        }
        end.stream.write("hello");
        if (end.stream.flush() != Io::ok) throw std::runtime_error{"the kernel does not hold it all"};
        done = true;
        other.wake.notify();
    };
    unsigned pauses = 0;
    const auto reading = [](End& end, const bool& begin, unsigned& turns) -> Task<void> {
        co_await handshake(end);
        co_await send(end, "x");
        while (!begin) co_await end.wake.wait();
        for (;;) {
            const auto before = end.stream.received;
            const Io got = end.stream.fill(50'000);
            if (end.stream.received - before > 100'000) throw std::runtime_error{"a turn without an end"};
            if (got == Io::ok) co_return;
            if (got != Io::blocked) throw std::runtime_error{"failed"};
            ++turns;
            co_await end.wake.wait();
        }
    };
    const auto one = flooding(client, server, flooded);
    const auto two = reading(server, flooded, pauses);
    run({&one, &two});
    EXPECT_GE(pauses, 2U);
    EXPECT_EQ(server.stream.in().view(), "hello") << "and nothing is forgotten meanwhile";
}

TEST_F(StreamTest, ARefusedRenegotiationIsToldAtOnce) {
    const Identity identity;
    accepting = server_context(identity);
    connecting = client_context(&identity);
    SSL_CTX_set_options(accepting.get(), SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_max_proto_version(connecting.get(), TLS1_2_VERSION);
    server.stream.start_tls_server(accepting.get());
    client.stream.start_tls_client(connecting.get(), "origin.test", false, nullptr);
    Io second = Io::ok;
    const auto asking = [](End& end, Io& result) -> Task<void> {
        co_await handshake(end);
        SSL_renegotiate(end.stream.tls());
        result = co_await handshake(end);
        end.stream.socket().close();
    };
    Io end = Io::ok;
    const auto refusing = [](End& here, Io& result) -> Task<void> {
        co_await handshake(here);
        while ((result = here.stream.fill(50'000)) == Io::blocked) co_await here.wake.wait();
    };
    const auto one = asking(client, second);
    const auto two = refusing(server, end);
    run({&one, &two});
    EXPECT_EQ(second, Io::failed);
    EXPECT_EQ(client.stream.tls_failure().text(), "no renegotiation");
}

TEST(TlsFailure, IsARefusalWhereTheAlertIsOneOfTheHandshakeAlone) {
    const auto refusal = [](int library, int reason) {
        return TlsFailure{.error = ERR_PACK(library, 0, reason)}.is_refusal();
    };
    for (const int reason :
         {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, SSL_R_TLSV1_ALERT_UNKNOWN_CA, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
          SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
          SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
          SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, SSL_R_TLSV1_ALERT_ACCESS_DENIED, SSL_R_TLSV1_ALERT_DECRYPT_ERROR})
        EXPECT_TRUE(refusal(ERR_LIB_SSL, reason)) << reason;
    // These may follow a request that was read.
    for (const int reason :
         {SSL_R_SSLV3_ALERT_BAD_RECORD_MAC, SSL_R_TLSV1_ALERT_INTERNAL_ERROR, SSL_R_TLSV1_ALERT_USER_CANCELLED,
          SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE, SSL_R_TLSV1_ALERT_RECORD_OVERFLOW, SSL_R_UNEXPECTED_MESSAGE})
        EXPECT_FALSE(refusal(ERR_LIB_SSL, reason)) << reason;
    EXPECT_FALSE(refusal(ERR_LIB_X509, SSL_R_TLSV1_ALERT_UNKNOWN_CA));
    EXPECT_FALSE(TlsFailure{}.is_refusal());
}

}  // namespace
}  // namespace nearhop::wire
