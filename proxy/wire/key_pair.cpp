#include "proxy/wire/key_pair.h"

#include "proxy/wire/pem_file.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

namespace nearhop::wire {
namespace {

std::string date_of(const ASN1_TIME* time) {
    std::tm parts{};
    char text[32] = "?";
    if (time && ASN1_TIME_to_tm(time, &parts) == 1) std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
    return text;
}

/// Whether what `key` signs verifies with `other`. A file that is half old and half new may hold one key's private part
/// beside another's public part, which is all that OpenSSL compares.
bool signs_for(EVP_PKEY* key, EVP_PKEY* other) {
    static constexpr unsigned char text[] = "nearhop";
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> signing{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> verifying{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
    if (!signing || !verifying) throw std::bad_alloc{};
    unsigned char signature[1024];  // RSA of 8,192 bits
    std::size_t size = sizeof signature;
    const bool good = EVP_DigestSignInit(signing.get(), nullptr, nullptr, nullptr, key) == 1 &&
                      EVP_DigestSign(signing.get(), signature, &size, text, sizeof text) == 1 &&
                      EVP_DigestVerifyInit(verifying.get(), nullptr, nullptr, nullptr, other) == 1 &&
                      EVP_DigestVerify(verifying.get(), signature, size, text, sizeof text) == 1;
    ERR_clear_error();
    return good;
}

bool is_key_of(X509* certificate, EVP_PKEY* key) {
    const bool is = X509_check_private_key(certificate, key) == 1;
    ERR_clear_error();
    return is;
}

void check_dates(X509* leaf, const conf::At<std::string>& file, Reporter& report) {
    if (is_expired(leaf))
        report.warning(file, "the certificate in " + *file + " expired on " + date_of(X509_get0_notAfter(leaf)));
    if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
        report.warning(file,
                       "the certificate in " + *file + " is not valid before " + date_of(X509_get0_notBefore(leaf)));
}

/// Each is signed by the one behind it, as far as the file goes. False after reporting one that is damaged.
bool check_chain(const KeyPair& pair, const conf::At<std::string>& file, Reporter& report) {
    bool good = true;
    X509* signed_one = pair.certificate.get();
    for (std::size_t i = 0; i <= pair.chain.size(); ++i) {
        // Behind the last one: itself, if it is its own issuer.
        X509* const issuer = i < pair.chain.size() ? pair.chain[i].get() : signed_one;
        const std::string number = std::to_string(i + 1);
        if (X509_check_issued(issuer, signed_one) != X509_V_OK) {
            if (issuer != signed_one)
                report.warning(file, "certificate " + std::to_string(i + 2) + " in " + *file +
                                         " is not the issuer of the one before it: clients may not find that");
        } else if (X509_verify(signed_one, X509_get0_pubkey(issuer)) == 0) {
            report.error(file, "want a certificate chain in PEM form, found " + *file + ": certificate " + number +
                                   " in it does not bear the signature of its issuer");
            good = false;
        }
        signed_one = issuer;
    }
    ERR_clear_error();
    return good;
}

/// Whether the two belong together; reports what is wrong.
bool check_key(const KeyPair& pair, const conf::Certificate& files, Reporter& report) {
    const std::string& certificate = *files.certificate;
    const std::string& key = *files.private_key;
    if (is_key_of(pair.certificate.get(), pair.key.get())) {
        if (signs_for(pair.key.get(), X509_get0_pubkey(pair.certificate.get()))) return true;
        report.error(files.private_key, "want the private key of the certificate in " + certificate +
                                            ", found a damaged one in " + key + ": its signatures do not fit");
        return false;
    }
    const auto mine = std::find_if(pair.chain.begin(), pair.chain.end(),
                                   [&](const auto& each) { return is_key_of(each.get(), pair.key.get()); });
    if (mine != pair.chain.end()) {
        const std::string number = std::to_string(mine - pair.chain.begin() + 2);
        report.error(files.certificate, "want the certificate of the key in " + key + " first in " + certificate +
                                            ", found it as number " + number);
        return false;
    }
    report.error(files.private_key, "want the private key of the certificate in " + certificate +
                                        ", found another one in " + key +
                                        "; a renewal may have written only one of them so far");
    return false;
}

}  // namespace

std::optional<KeyPair> KeyPair::load(const conf::Certificate& files, Reporter& report) {
    KeyPair pair;
    const auto& [certificate, private_key, ocsp] = files;
    std::string error;
    std::string pem;
    if (const auto why = read_file(*certificate, pem); !why.empty()) {
        report.error(certificate, "want a readable certificate file, found " + *certificate + ": " + why);
    } else if (auto all = read_certificates(pem, error); all.empty()) {
        report.error(certificate, "want a certificate chain in PEM form, found " + *certificate + ": " + error);
    } else {
        pair.certificate = std::move(all.front());
        pair.chain.assign(std::make_move_iterator(all.begin() + 1), std::make_move_iterator(all.end()));
        check_dates(pair.certificate.get(), certificate, report);
    }
    OPENSSL_cleanse(pem.data(), pem.size());  // the key may be in the same file
    if (const auto why = read_file(*private_key, pem); !why.empty())
        report.error(private_key, "want a readable key file, found " + *private_key + ": " + why);
    else if (pair.key = read_private_key(pem, error); !pair.key)
        report.error(private_key, "want an unencrypted private key in PEM form, found " + *private_key + ": " + error);
    OPENSSL_cleanse(pem.data(), pem.size());
    if (!pair.certificate || !pair.key) return std::nullopt;
    if (!check_key(pair, files, report) || !check_chain(pair, certificate, report)) return std::nullopt;
    return pair;
}

std::string KeyPair::fingerprint() const {
    std::string text;
    const auto add = [&text](const X509* each) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        if (X509_digest(each, EVP_sha256(), digest, &size) != 1) throw std::bad_alloc{};
        text.append(reinterpret_cast<const char*>(digest), size);
    };
    add(certificate.get());
    for (const auto& each : chain) add(each.get());
    return text;
}

void StackDelete::operator()(stack_st_X509* stack) const noexcept { sk_X509_free(stack); }

std::unique_ptr<stack_st_X509, StackDelete> KeyPair::chain_stack() const {
    std::unique_ptr<stack_st_X509, StackDelete> stack{sk_X509_new_null()};
    if (!stack) throw std::bad_alloc{};
    for (const auto& each : chain)
        if (sk_X509_push(stack.get(), each.get()) == 0) throw std::bad_alloc{};
    return stack;
}

bool KeyPair::install(ssl_ctx_st* context, const conf::Certificate& files, Reporter& report) const {
    ERR_clear_error();
    if (SSL_CTX_use_cert_and_key(context, certificate.get(), key.get(), chain_stack().get(), 1) == 1) return true;
    report.error(files.certificate,
                 "want a certificate that OpenSSL accepts, found " + *files.certificate + ": " + last_error());
    return false;
}

}  // namespace nearhop::wire
