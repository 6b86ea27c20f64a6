#include "proxy/wire/origin_tls.h"

#include "proxy/wire/pem_file.h"
#include "proxy/wire/tls_context.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace nearhop::wire {

bool set_up_origin(ssl_ctx_st* context, const conf::OriginTls& tls, conf::Problems& problems) {
    Reporter report{problems};
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(context, number_of(tls.min_version));
    if (!tls.ciphers->empty() && SSL_CTX_set_cipher_list(context, tls.ciphers->c_str()) != 1)
        report.error(tls.ciphers, "want an OpenSSL cipher list, found \"" + *tls.ciphers + "\": " + last_error());
    if (!tls.certificate->empty()) {
        const bool loaded = load_certificate(context, tls.certificate, report);
        load_key(context, {tls.certificate, tls.private_key, {}}, loaded, report);
    }
    return !report.failed();
}

std::string origin_tls_digest(const std::string& ca_file, const conf::OriginTls& tls) {
    std::string text = (tls.min_version == conf::TlsVersion::tls1_3 ? "1.3 " : "1.2 ") + *tls.ciphers;
    for (const std::string& file : {ca_file, *tls.certificate}) {
        std::string bytes;
        if (!file.empty()) read_file(file, bytes);  // one that cannot be read was reported
        text += '\n' + std::to_string(bytes.size()) + ' ' + bytes;
    }
    std::string digest(SHA256_DIGEST_LENGTH, '\0');
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(digest.data()));
    return digest;
}

std::shared_ptr<ssl_ctx_st> load_origin_context(const std::string& ca_file, std::string& error) {
    ERR_clear_error();
    std::shared_ptr<ssl_ctx_st> context{make_context(TLS_client_method())};
    auto* raw = context.get();
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_alpn_protos(raw, http1_protocol, sizeof http1_protocol);
    X509_VERIFY_PARAM_set_hostflags(SSL_CTX_get0_param(raw), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (ca_file.empty()) {
        if (SSL_CTX_set_default_verify_paths(raw) == 1) return context;
        error = "the system's certificate authorities cannot be loaded: " + last_error();
        return nullptr;
    }
    if (const auto why = why_unreadable(ca_file); !why.empty()) {
        error = "want a readable file of certificate authorities, found " + ca_file + ": " + why;
        return nullptr;
    }
    if (SSL_CTX_load_verify_file(raw, ca_file.c_str()) == 1) return context;
    const auto code = ERR_peek_error();
    const bool nothing =
        ERR_GET_LIB(code) == ERR_LIB_X509 && ERR_GET_REASON(code) == X509_R_NO_CERTIFICATE_OR_CRL_FOUND;
    error = "want certificate authorities in PEM form, found " + ca_file + ": " +
            (nothing ? std::string{"there is none in it"} : last_error());
    ERR_clear_error();
    return nullptr;
}

}  // namespace nearhop::wire
