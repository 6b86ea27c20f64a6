#include "proxy/wire/tls_context.h"

#include "conf/regular_file.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <ctime>
#include <new>

namespace nearhop::wire {
namespace {

std::string date_of(const ASN1_TIME* time) {
    std::tm parts{};
    char text[32] = "?";
    if (time && ASN1_TIME_to_tm(time, &parts) == 1) std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
    return text;
}

}  // namespace

SslContext make_context(const SSL_METHOD* method) {
    SslContext context{SSL_CTX_new(method)};
    if (!context) throw std::bad_alloc{};
    SSL_CTX_set_read_ahead(context.get(), 1);
    // A peer that closes without close_notify is judged by the framing. Without this option OpenSSL also spoils the
    // session for resumption.
    SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    // An encrypted key must fail, not ask for its password on the terminal.
    SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
    return context;
}

int number_of(conf::TlsVersion version) noexcept {
    return version == conf::TlsVersion::tls1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

std::string last_error() {
    const unsigned long error = ERR_peek_error();
    ERR_clear_error();
    // "no start line" is OpenSSL's way to say that a file is not PEM.
    if (ERR_GET_LIB(error) == ERR_LIB_PEM) return "it is not in PEM form, or its password is not known";
    const char* reason = ERR_reason_error_string(error);
    return reason ? reason : "OpenSSL gives no reason";
}

std::string why_unreadable(const std::string& file) {
    std::string first;
    if (const auto fault = conf::read_regular_file(file, 1, first)) return fault.words();
    return first.empty() ? "it is empty" : "";
}

bool load_certificate(ssl_ctx_st* context, const conf::At<std::string>& file, Reporter& report) {
    if (const auto why = why_unreadable(*file); !why.empty()) {
        report.error(file, "want a readable certificate file, found " + *file + ": " + why);
        return false;
    }
    if (SSL_CTX_use_certificate_chain_file(context, file->c_str()) != 1) {
        report.error(file, "want a certificate chain in PEM form, found " + *file + ": " + last_error());
        return false;
    }
    X509* leaf = SSL_CTX_get0_certificate(context);
    if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
        report.warning(file, "the certificate in " + *file + " expired on " + date_of(X509_get0_notAfter(leaf)));
    if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
        report.warning(file,
                       "the certificate in " + *file + " is not valid before " + date_of(X509_get0_notBefore(leaf)));
    return true;
}

void load_key(ssl_ctx_st* context, const conf::Certificate& pair, bool with_certificate, Reporter& report) {
    const auto& file = pair.private_key;
    if (const auto why = why_unreadable(*file); !why.empty())
        return report.error(file, "want a readable key file, found " + *file + ": " + why);
    // OpenSSL compares the key with the certificate as it loads it, when that is there already.
    if (SSL_CTX_use_PrivateKey_file(context, file->c_str(), SSL_FILETYPE_PEM) == 1) {
        if (!with_certificate || SSL_CTX_check_private_key(context) == 1) return;
    } else if (ERR_GET_LIB(ERR_peek_error()) != ERR_LIB_X509) {
        return report.error(file, "want an unencrypted private key in PEM form, found " + *file + ": " + last_error());
    }
    ERR_clear_error();
    report.error(file,
                 "want the private key of the certificate in " + *pair.certificate + ", found another one in " + *file);
}

}  // namespace nearhop::wire
