#include "proxy/run/admin_trust.h"

#include "conf/origin.h"
#include "proxy/wire/origin_tls.h"
#include "proxy/wire/pem_file.h"

#include <openssl/ssl.h>

#include <new>
#include <stdexcept>

namespace nearhop::run {

std::shared_ptr<ssl_ctx_st> trust_in_authorities(const AdminOptions& options) {
    conf::OriginTls shown;
    shown.certificate.value = options.certificate;
    shown.private_key.value = options.private_key;
    conf::At<std::string> ca;
    ca.value = options.ca;
    conf::Problems problems;
    auto made = wire::load_origin_tls(ca, shown, problems);
    if (!made.context) throw std::runtime_error{problems.empty() ? "TLS cannot be set up" : problems.front().what};
    return std::move(made.context);
}

std::shared_ptr<ssl_ctx_st> trust_in_certificate(const std::string& file, const AdminOptions& options) {
    std::string pem, error;
    if (const auto why = wire::read_file(file, pem); !why.empty()) throw std::runtime_error{file + ": " + why};
    const auto certificates = wire::read_certificates(pem, error);
    if (certificates.empty()) throw std::runtime_error{file + ": " + error};
    auto context = trust_in_authorities(options);
    X509_STORE* const store = X509_STORE_new();
    if (!store) throw std::bad_alloc{};
    SSL_CTX_set_cert_store(context.get(), store);  // owns it
    if (X509_STORE_add_cert(store, certificates.front().get()) != 1) throw std::bad_alloc{};
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);  // it need not be an authority's
    return context;
}

}  // namespace nearhop::run
