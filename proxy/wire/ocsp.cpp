#include "proxy/wire/ocsp.h"

#include "proxy/wire/key_pair.h"
#include "proxy/wire/pem_file.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace nearhop::wire {
namespace {

struct Staple {
    X509Certificate leaf;
    std::string response;
    std::time_t stale_from = 0;  ///< 0: it does not say
};

/// Of a context, which may show several certificates.
using Staples = std::vector<Staple>;

void free_staple(void*, void* staples, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<Staples*>(staples); }

int staple_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_staple);
    return index;
}

int on_status_request(SSL* ssl, void*) {
    const auto* staples = static_cast<Staples*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), staple_index()));
    if (!staples) return SSL_TLSEXT_ERR_NOACK;
    const X509* const shown = SSL_get_certificate(ssl);  // chosen by now
    const auto staple = std::find_if(staples->begin(), staples->end(),
                                     [&](const Staple& each) { return X509_cmp(each.leaf.get(), shown) == 0; });
    // A client takes a stale response for none, or for a broken server.
    if (staple == staples->end() || (staple->stale_from != 0 && std::time(nullptr) >= staple->stale_from))
        return SSL_TLSEXT_ERR_NOACK;
    auto* copy = static_cast<unsigned char*>(OPENSSL_malloc(staple->response.size()));
    if (!copy) return SSL_TLSEXT_ERR_NOACK;
    std::copy(staple->response.begin(), staple->response.end(), copy);
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(staple->response.size()));
    return SSL_TLSEXT_ERR_OK;
}

std::time_t time_of(const ASN1_TIME* time) {
    std::tm parts{};
    return time && ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

/// Whether a response's entry speaks of `leaf`: its serial number, and the hash of its issuer's name. No issuer
/// certificate is needed for that.
bool is_about(const OCSP_SINGLERESP* entry, X509* leaf) {
    ASN1_OBJECT* algorithm = nullptr;
    ASN1_OCTET_STRING* name_hash = nullptr;
    ASN1_INTEGER* serial = nullptr;
    auto* id = const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(entry));
    if (OCSP_id_get0_info(&name_hash, &algorithm, nullptr, &serial, id) != 1) return false;
    if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0) return false;
    const EVP_MD* digest = EVP_get_digestbyobj(algorithm);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    return digest && X509_NAME_digest(X509_get_issuer_name(leaf), digest, hash, &size) == 1 &&
           static_cast<int>(size) == ASN1_STRING_length(name_hash) &&
           std::memcmp(hash, ASN1_STRING_get0_data(name_hash), size) == 0;
}

/// The signature, where the chain holds the issuer: a response of somebody else would make every handshake fail.
bool is_signed(OCSP_BASICRESP* basic, const KeyPair& pair) {
    X509* issuer = nullptr;
    for (const auto& each : pair.chain)
        if (!issuer && X509_check_issued(each.get(), pair.certificate.get()) == X509_V_OK) issuer = each.get();
    if (!issuer) return true;
    const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store{X509_STORE_new(), &X509_STORE_free};
    if (!store) throw std::bad_alloc{};
    X509_STORE_add_cert(store.get(), issuer);
    X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
    const bool good = OCSP_basic_verify(basic, pair.chain_stack().get(), store.get(), 0) == 1;
    ERR_clear_error();
    return good;
}

}  // namespace

void staple(ssl_ctx_st* context, const KeyPair& pair, const std::string& file, std::string& error,
            std::string& warning) {
    Staple made;
    if (const auto why = read_file(file, made.response); !why.empty()) {
        error = "want a readable OCSP response, found " + file + ": " + why;
        return;
    }
    ERR_clear_error();
    const auto* at = reinterpret_cast<const unsigned char*>(made.response.data());
    const std::unique_ptr<OCSP_RESPONSE, decltype(&OCSP_RESPONSE_free)> response{
        d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(made.response.size())), &OCSP_RESPONSE_free};
    const std::unique_ptr<OCSP_BASICRESP, decltype(&OCSP_BASICRESP_free)> basic{
        response && OCSP_response_status(response.get()) == OCSP_RESPONSE_STATUS_SUCCESSFUL
            ? OCSP_response_get1_basic(response.get())
            : nullptr,
        &OCSP_BASICRESP_free};
    ERR_clear_error();
    if (!basic) {
        error = "want a successful OCSP response in DER form, found something else in " + file;
        return;
    }
    OCSP_SINGLERESP* entry = nullptr;
    for (int i = 0; i < OCSP_resp_count(basic.get()) && !entry; ++i)
        if (OCSP_SINGLERESP* one = OCSP_resp_get0(basic.get(), i); is_about(one, pair.certificate.get())) entry = one;
    if (!entry) {
        error = "want an OCSP response for this certificate, found one for another in " + file;
        return;
    }
    if (!is_signed(basic.get(), pair)) {
        error = "want an OCSP response signed for the certificate's issuer, found another signature in " + file;
        return;
    }
    ASN1_GENERALIZEDTIME* next = nullptr;
    ASN1_GENERALIZEDTIME* revoked = nullptr;
    int reason = 0;
    const int status = OCSP_single_get0_status(entry, &reason, &revoked, nullptr, &next);
    made.stale_from = time_of(next);
    if (made.stale_from != 0 && std::time(nullptr) >= made.stale_from)
        warning = "the OCSP response in " + file + " is stale and will not be stapled";
    else if (status == V_OCSP_CERTSTATUS_REVOKED)
        warning = "the OCSP response in " + file + " says that the certificate is revoked";
    else if (status != V_OCSP_CERTSTATUS_GOOD)
        warning = "the OCSP response in " + file + " does not know the certificate";
    X509_up_ref(pair.certificate.get());
    made.leaf.reset(pair.certificate.get());
    if (auto* const known = static_cast<Staples*>(SSL_CTX_get_ex_data(context, staple_index())))
        return known->push_back(std::move(made));
    auto staples = std::make_unique<Staples>();
    staples->push_back(std::move(made));
    if (SSL_CTX_set_ex_data(context, staple_index(), staples.get()) != 1) throw std::bad_alloc{};
    [[maybe_unused]] auto* const owned_by_context = staples.release();
    SSL_CTX_set_tlsext_status_cb(context, &on_status_request);
}

}  // namespace nearhop::wire
