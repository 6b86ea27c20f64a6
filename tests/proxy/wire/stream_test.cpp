#include "proxy/wire/stream.h"

#include "proxy/wire/message_writer.h"
#include "tests/proxy/loop/support.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace nearhop::wire {
namespace {

using loop::Loop;
using loop::Task;
using loop::Wake;
using test::Until;

template <class T, void (*release)(T*)>
struct Release {
    void operator()(T* object) const { release(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY, &EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Release<X509, &X509_free>>;

/// A self-signed certificate: `names` as in openssl's subjectAltName, valid from `from` to `to` seconds from now.
struct Identity {
    explicit Identity(const char* names = "DNS:origin.test", long from = -3600, long to = 3600)
        : key{EVP_EC_gen("P-256")}, certificate{X509_new()} {
        ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
        X509_set_version(certificate.get(), 2);
        X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from);
        X509_gmtime_adj(X509_getm_notAfter(certificate.get()), to);
        X509_set_pubkey(certificate.get(), key.get());
        X509_NAME* name = X509_get_subject_name(certificate.get());
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("nobody"), -1, -1,
                                   0);
        X509_set_issuer_name(certificate.get(), name);
        X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names);
        X509_add_ext(certificate.get(), extension, -1);
        X509_EXTENSION_free(extension);
        X509_sign(certificate.get(), key.get(), EVP_sha256());
    }
    Key key;
    Certificate certificate;
};

SslContext server_context(const Identity& identity) {
    SslContext context{SSL_CTX_new(TLS_server_method())};
    SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context.get(), 1);
    EXPECT_EQ(SSL_CTX_use_certificate(context.get(), identity.certificate.get()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), identity.key.get()), 1);
    return context;
}

SslContext client_context(const Identity* trusted) {
    SslContext context{SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    if (trusted) X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), trusted->certificate.get());
    return context;
}

/// One end of a connection, with the wake of its coroutine.
struct End {
    explicit End(Loop& loop) : wake{loop} {}
    Wake wake;
    Stream stream;

    void open(Loop& loop, test::Descriptor descriptor) {
        ASSERT_EQ(::fcntl(descriptor.get(), F_SETFL, O_NONBLOCK), 0);
        stream.socket().open(loop, descriptor.release(), wake, false);
    }
};

Task<Io> handshake(End& end) {
    for (;;) {
        const Io done = end.stream.handshake();
        if (done != Io::blocked) co_return done;
        co_await end.wake.wait();
    }
}

Task<void> flush(End& end) {
    for (;;) {
        const Io done = end.stream.flush();
        if (done == Io::ok) co_return;
        if (done == Io::failed) throw std::runtime_error{"flush failed"};
        co_await end.wake.wait();
    }
}

/// Writes in pieces of odd sizes, never more than the high-water mark at once.
Task<void> send(End& end, std::string_view bytes) {
    std::size_t piece = 1;
    while (!bytes.empty()) {
        const auto taken = end.stream.write_some(bytes.substr(0, piece));
        bytes.remove_prefix(taken);
        piece = piece * 3 % 40'009 + 1;
        co_await flush(end);
        if (taken == 0) co_await end.wake.wait();
    }
}

/// Reads until the end; what came before it, or throws on failure.
Task<std::string> receive(End& end, std::size_t wanted, std::size_t limit = 100'000) {
    std::string all;
    while (all.size() < wanted) {
        const Io got = end.stream.fill(limit);
        if (got == Io::failed) throw std::runtime_error{"read failed"};
        if (got == Io::closed) break;
        if (got == Io::blocked) co_await end.wake.wait();
        all += end.stream.in().view();
        end.stream.in().clear();
    }
    co_return all;
}

struct StreamTest : testing::Test {
    StreamTest() {
        test::TcpPair pair;
        client.open(loop, std::move(pair.ours));
        server.open(loop, std::move(pair.theirs));
    }
    void run(std::initializer_list<const Task<void>*> tasks) {
        for (const auto* task : tasks) task->start();
        const bool done = Until{
            loop, [&] {
                for (const auto* task : tasks)
                    if (!task->done()) return false;
                return true;
            }}.run();
        ASSERT_TRUE(done) << "somebody still waits";
        for (const auto* task : tasks) const_cast<Task<void>*>(task)->result();
    }
    void start_tls(const Identity& identity, const char* name = "origin.test", bool is_address = false,
                   ssl_session_st* session = nullptr, const Identity* trusted = nullptr) {
        accepting = server_context(identity);
        connecting = client_context(trusted ? trusted : &identity);
        server.stream.start_tls_server(accepting.get());
        client.stream.start_tls_client(connecting.get(), name, is_address, session);
    }

    Loop loop;
    SslContext accepting;
    SslContext connecting;
    End client{loop};
    End server{loop};
};

std::string some(std::size_t size) {
    std::string bytes(size, ' ');
    std::uint32_t state = 1;
    for (char& c : bytes) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    return bytes;
}

Task<void> echo(End& end, bool tls, std::size_t size) {
    if (tls && co_await handshake(end) != Io::ok) throw std::runtime_error{"server handshake"};
    std::size_t left = size;
    while (left > 0) {
        const Io got = end.stream.fill(50'000);
        if (got == Io::failed || got == Io::closed) throw std::runtime_error{"server read"};
        if (got == Io::blocked) {
            co_await end.wake.wait();
            continue;
        }
        const std::string piece{end.stream.in().view()};
        end.stream.in().clear();
        left -= piece.size();
        co_await send(end, piece);
    }
}
Task<void> speak(End& end, const std::string& bytes) { co_await send(end, bytes); }
Task<void> shake(End& end, Io& result) { result = co_await handshake(end); }

struct Echo : StreamTest, testing::WithParamInterface<std::tuple<bool, std::size_t>> {};
TEST_P(Echo, BringsEveryByteBackInOrder) {
    const auto [tls, size] = GetParam();
    const Identity identity;
    if (tls) start_tls(identity);
    const std::string sent = some(size);
    std::string got;
    const auto conversation = [](End& end, bool with_tls, const std::string& bytes, std::string& into) -> Task<void> {
        if (with_tls && co_await handshake(end) != Io::ok) throw std::runtime_error{"client handshake"};
        // In halves, so that neither side's buffers have to hold everything.
        for (std::size_t at = 0; at < bytes.size(); at += 30'000) {
            const auto part = std::string_view{bytes}.substr(at, 30'000);
            co_await send(end, part);
            into += co_await receive(end, part.size());
        }
    };
    const auto one = conversation(client, tls, sent, got);
    const auto two = echo(server, tls, size);
    run({&one, &two});
    EXPECT_TRUE(got == sent);
    EXPECT_GE(client.stream.sent, size);
    EXPECT_GE(client.stream.received, size);
}
INSTANTIATE_TEST_SUITE_P(Sizes, Echo,
                         testing::Combine(testing::Bool(), testing::Values(1UL, 2UL, 1000UL, 16'384UL, 16'385UL,
                                                                           100'001UL, 1'048'576UL)));

TEST_F(StreamTest, BulkOneWayArrivesWhole) {
    const Identity identity;
    start_tls(identity);
    const std::string sent = some(3'000'000);
    std::string got;
    const auto writing = [](End& end, const std::string& bytes) -> Task<void> {
        co_await handshake(end);
        co_await send(end, bytes);
        end.stream.close_notify();
        co_await flush(end);
    };
    const auto reading = [](End& end, std::string& into) -> Task<void> {
        co_await handshake(end);
        into = co_await receive(end, static_cast<std::size_t>(-1));
    };
    const auto one = writing(server, sent);
    const auto two = reading(client, got);
    run({&one, &two});
    EXPECT_TRUE(got == sent);
}

TEST_F(StreamTest, AnEndWithoutCloseNotifyReadsAsClosedBehindTheLastByte) {
    const Identity identity;
    start_tls(identity);
    const auto cutting = [](End& end) -> Task<void> {
        co_await handshake(end);
        co_await send(end, "cut");
        end.stream.socket().shutdown_write();
    };
    std::string got;
    const auto reading = [](End& end, std::string& into) -> Task<void> {
        co_await handshake(end);
        into = co_await receive(end, 100);
    };
    const auto one = cutting(server);
    const auto two = reading(client, got);
    run({&one, &two});
    EXPECT_EQ(got, "cut");
}

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

TEST_F(StreamTest, BytesReceivedBeforeTlsAreItsFirstCiphertext) {
    const Identity identity;
    accepting = server_context(identity);
    connecting = client_context(&identity);
    client.stream.start_tls_client(connecting.get(), "origin.test", false, nullptr);
    const auto prefixed = [](End& end, ssl_ctx_st* context) -> Task<void> {
        // As behind a PROXY header: some ciphertext is in the plain buffer already.
        while (end.stream.in().empty()) {
            if (end.stream.fill(100) == Io::blocked) co_await end.wake.wait();
        }
        end.stream.start_tls_server(context);
        if (co_await handshake(end) != Io::ok) throw std::runtime_error{"handshake"};
    };
    Io result = Io::failed;
    const auto one = shake(client, result);
    const auto two = prefixed(server, accepting.get());
    run({&one, &two});
    EXPECT_EQ(result, Io::ok);
}

TEST_F(StreamTest, FillNeverGoesAboveItsLimit) {
    const Identity identity;
    start_tls(identity);
    const auto careful = [](End& end, std::size_t wanted) -> Task<void> {
        co_await handshake(end);
        std::size_t got = 0;
        while (got < wanted) {
            const Io now = end.stream.fill(1000);
            if (end.stream.in().size() > 1000) throw std::runtime_error{"above the limit"};
            got += end.stream.in().size();
            end.stream.in().clear();
            if (now == Io::blocked) co_await end.wake.wait();
        }
    };
    const std::string bytes = some(200'000);
    const auto writing = [](End& end, const std::string& all) -> Task<void> {
        co_await handshake(end);
        co_await send(end, all);
    };
    const auto one = careful(client, bytes.size());
    const auto two = writing(server, bytes);
    run({&one, &two});
}

TEST_F(StreamTest, HeadAndFirstBytesLeaveInOneTlsRecord) {
    const Identity identity;
    start_tls(identity);
    const auto answering = [](End& end, std::size_t& records) -> Task<void> {
        co_await handshake(end);
        co_await flush(end);
        MessageWriter writer;
        writer.staging().append("HTTP/1.1 200 OK\r\n\r\n");
        const auto before = end.stream.unsent();
        writer.write(end.stream, "small", false);
        if (before != 0 || end.stream.unsent() != 0) throw std::runtime_error{"sent too early"};
        const auto sent = end.stream.sent;
        writer.flush(end.stream);
        records = static_cast<std::size_t>(end.stream.sent - sent);
    };
    std::size_t bytes = 0;
    std::string got;
    const auto reading = [](End& end, std::string& into) -> Task<void> {
        co_await handshake(end);
        into = co_await receive(end, 24);
    };
    const auto one = answering(server, bytes);
    const auto two = reading(client, got);
    run({&one, &two});
    EXPECT_EQ(got, "HTTP/1.1 200 OK\r\n\r\nsmall");
    EXPECT_EQ(bytes, 24U + 22U) << "one record's frame";
}

struct Writes : StreamTest, testing::WithParamInterface<std::tuple<bool, bool, std::size_t>> {};
TEST_P(Writes, ArriveInOrderWhateverTheirSizes) {
    const auto [tls, chunked, size] = GetParam();
    const Identity identity;
    if (tls) start_tls(identity);
    const auto writing = [](End& end, bool with_tls, bool in_chunks, const std::string& all) -> Task<void> {
        if (with_tls) co_await handshake(end);
        MessageWriter writer;
        writer.staging().append("HEAD|");
        std::string_view left = all;
        std::size_t piece = 7;
        while (!left.empty()) {
            const auto taken = writer.write(end.stream, left.substr(0, piece), in_chunks);
            left.remove_prefix(taken);
            piece = piece * 5 % 70'001 + 1;
            if (taken != 0 && piece % 3 != 0) continue;
            const bool full = writer.queued(end.stream) >= Stream::high_water;
            const Io done = writer.flush(end.stream);
            if (done == Io::failed) throw std::runtime_error{"flush failed"};
            if (done == Io::blocked || (taken == 0 && !full)) co_await end.wake.wait();
        }
        writer.finish(in_chunks, {});
        if (!in_chunks) writer.staging().append("|END");
        while (writer.flush(end.stream) == Io::blocked) co_await end.wake.wait();
        end.stream.socket().shutdown_write();
    };
    const auto reading = [](End& end, bool with_tls, std::string& into) -> Task<void> {
        if (with_tls) co_await handshake(end);
        into = co_await receive(end, static_cast<std::size_t>(-1), 20'000);
    };
    const std::string body = some(size);
    std::string got;
    const auto one = writing(server, tls, chunked, body);
    const auto two = reading(client, tls, got);
    run({&one, &two});
    ASSERT_EQ(got.substr(0, 5), "HEAD|");
    got.erase(0, 5);
    if (!chunked) {
        EXPECT_TRUE(got == body + "|END");
        return;
    }
    std::string decoded;
    while (!got.empty()) {
        const auto line = got.find("\r\n");
        ASSERT_NE(line, std::string::npos);
        const auto bytes = std::stoull(got.substr(0, line), nullptr, 16);
        decoded += got.substr(line + 2, bytes);
        ASSERT_EQ(got.substr(line + 2 + bytes, 2), "\r\n");
        got.erase(0, line + 4 + bytes);
        if (bytes == 0) break;
    }
    EXPECT_TRUE(decoded == body);
    EXPECT_TRUE(got.empty());
}
INSTANTIATE_TEST_SUITE_P(Table, Writes,
                         testing::Combine(testing::Bool(), testing::Bool(),
                                          testing::Values(1UL, 16'384UL, 2'000'000UL)));

}  // namespace
}  // namespace nearhop::wire
