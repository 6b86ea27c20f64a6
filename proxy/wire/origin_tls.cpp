#include "proxy/wire/origin_tls.h"

#include "proxy/wire/key_pair.h"
#include "proxy/wire/pem_file.h"
#include "proxy/wire/tls_context.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <initializer_list>
#include <string_view>

namespace nearhop::wire {
namespace {

/// Fills the store that origins' certificates are verified by; `pem` gets the bytes of a file. Empty when it is done.
std::string trust(ssl_ctx_st* context, const std::string& ca_file, std::string& pem) {
    if (ca_file.empty()) {
        if (SSL_CTX_set_default_verify_paths(context) == 1) return {};
        return "the system's certificate authorities cannot be loaded: " + last_error();
    }
    if (const auto why = read_file(ca_file, pem); !why.empty())
        return "want a readable file of certificate authorities, found " + ca_file + ": " + why;
    std::string error;
    for (const auto& authority : read_authorities(ca_file, pem, error))
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get());
    return error;
}

std::string digest_of(const conf::OriginTls& tls, std::initializer_list<std::string_view> parts) {
    std::string text = (tls.min_version == conf::TlsVersion::tls1_3 ? "1.3 " : "1.2 ") + *tls.ciphers;
    for (const auto bytes : parts) {
        text += '\n' + std::to_string(bytes.size()) + ' ';
        text += bytes;
    }
    std::string digest(SHA256_DIGEST_LENGTH, '\0');
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(digest.data()));
    return digest;
}

}  // namespace

OriginTls load_origin_tls(const conf::At<std::string>& ca, const conf::OriginTls& tls, conf::Problems& problems) {
    Reporter report{problems};
    ERR_clear_error();
    std::shared_ptr<ssl_ctx_st> context{make_context(TLS_client_method())};
    auto* const raw = context.get();
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_alpn_protos(raw, http1_protocol, sizeof http1_protocol);
    SSL_CTX_set_min_proto_version(raw, number_of(tls.min_version));
    if (!tls.ciphers->empty() && SSL_CTX_set_cipher_list(raw, tls.ciphers->c_str()) != 1)
        report.error(tls.ciphers, "want an OpenSSL cipher list, found \"" + *tls.ciphers + "\": " + last_error());
    std::string authorities;
    if (const auto why = trust(raw, *ca, authorities); !why.empty()) report.error(ca, why);
    std::string shown;
    if (!tls.certificate->empty()) {
        const conf::Certificate files{tls.certificate, tls.private_key, {}};
        const auto pair = KeyPair::load(files, report);
        if (pair && pair->install(raw, files, report)) shown = pair->fingerprint();
    }
    ERR_clear_error();
    if (report.failed()) context.reset();
    return {std::move(context), digest_of(tls, {authorities, shown})};
}

}  // namespace nearhop::wire
