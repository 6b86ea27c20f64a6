#pragma once

#include "proxy/wire/stream.h"
#include "tests/proxy/loop/support.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace nearhop::wire {

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

/// A self-signed certificate: `names` as in openssl's subjectAltName (null: none), valid from `from` to `to` seconds
/// from now.
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
        if (names) {
            X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names);
            X509_add_ext(certificate.get(), extension, -1);
            X509_EXTENSION_free(extension);
        }
        X509_sign(certificate.get(), key.get(), EVP_sha256());
    }
    Key key;
    Certificate certificate;
};

inline SslContext server_context(const Identity& identity) {
    SslContext context{SSL_CTX_new(TLS_server_method())};
    SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context.get(), 1);
    EXPECT_EQ(SSL_CTX_use_certificate(context.get(), identity.certificate.get()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), identity.key.get()), 1);
    return context;
}

inline SslContext client_context(const Identity* trusted) {
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

inline Task<Io> handshake(End& end) {
    for (;;) {
        const Io done = end.stream.handshake();
        if (done != Io::blocked) co_return done;
        co_await end.wake.wait();
    }
}

inline Task<void> flush(End& end) {
    for (;;) {
        const Io done = end.stream.flush();
        if (done == Io::ok) co_return;
        if (done == Io::failed) throw std::runtime_error{"flush failed"};
        co_await end.wake.wait();
    }
}

/// Writes in pieces of odd sizes, never more than the high-water mark at once.
inline Task<void> send(End& end, std::string_view bytes) {
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
inline Task<std::string> receive(End& end, std::size_t wanted, std::size_t limit = 100'000) {
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

inline std::string some(std::size_t size) {
    std::string bytes(size, ' ');
    std::uint32_t state = 1;
    for (char& c : bytes) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    return bytes;
}

inline Task<void> echo(End& end, bool tls, std::size_t size) {
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
inline Task<void> speak(End& end, const std::string& bytes) { co_await send(end, bytes); }
inline Task<void> shake(End& end, Io& result) { result = co_await handshake(end); }

}  // namespace nearhop::wire
