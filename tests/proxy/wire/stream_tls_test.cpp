#include "tests/proxy/wire/stream_support.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string>

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

}  // namespace
}  // namespace nearhop::wire
