#include "proxy/wire/client_rule.h"

#include "proxy/wire/pem_file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <new>

namespace nearhop::wire {
namespace {

constexpr std::size_t largest_value = 8 * 1024;  // a certificate beyond it is named by its fingerprint alone

bool is_plain(unsigned char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || c == '@' || c == ':' || c == '/' || c == '*' || c == '~' || c == '+' || c == '=';
}

void append_escaped(std::string& out, const ASN1_STRING* text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    const unsigned char* bytes = ASN1_STRING_get0_data(text);
    for (int i = 0; i < ASN1_STRING_length(text); ++i) {
        const unsigned char c = bytes[i];
        if (is_plain(c)) {
            out += static_cast<char>(c);
        } else {
            out += {'%', digits[c >> 4], digits[c & 15]};
        }
    }
}

/// RFC 2253 with everything beyond visible ASCII escaped.
std::string subject_of(X509* certificate) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> out{BIO_new(BIO_s_mem()), &BIO_free};
    if (!out) throw std::bad_alloc{};
    X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    std::string subject{text, static_cast<std::size_t>(size > 0 ? size : 0)};
    for (char& c : subject)
        if (c < ' ' || c > '~') c = '?';  // nothing is left that could be; a field value must hold whatever comes
    return subject;
}

std::string alternatives_of(X509* certificate) {
    std::string text;
    auto* all = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
        std::string entry;
        switch (name->type) {
            case GEN_DNS:
                entry = "DNS:";
                append_escaped(entry, name->d.dNSName);
                break;
            case GEN_URI:
                entry = "URI:";
                append_escaped(entry, name->d.uniformResourceIdentifier);
                break;
            case GEN_EMAIL:
                entry = "email:";
                append_escaped(entry, name->d.rfc822Name);
                break;
            default: continue;
        }
        text += (text.empty() ? "" : ",") + entry;
    }
    GENERAL_NAMES_free(all);
    return text;
}

std::string fingerprint_of(X509* certificate) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    unsigned size = 0;
    std::string text;
    if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return text;
    static constexpr char digits[] = "0123456789abcdef";
    for (const unsigned char byte : digest) text += {digits[byte >> 4], digits[byte & 15]};
    return text;
}

/// RFC 9440 section 2.1: a byte sequence of RFC 8941.
std::string encoded(X509* certificate) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size <= 0) return {};
    std::string text(4 * (static_cast<std::size_t>(size) + 2) / 3 + 4, '\0');
    text.resize(static_cast<std::size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), der, size)));
    OPENSSL_free(der);
    return ":" + text + ":";
}

}  // namespace

ClientRule::~ClientRule() {
    X509_STORE_free(store_);
    sk_X509_NAME_pop_free(names_, X509_NAME_free);
}

std::shared_ptr<const ClientRule> ClientRule::load(conf::ClientCertificates mode, const std::string& ca_file,
                                                   std::string& error) {
    auto rule = std::make_shared<ClientRule>();
    rule->mode_ = mode;
    if (mode == conf::ClientCertificates::none) return rule;
    std::string bytes;
    if (const auto why = read_file(ca_file, bytes); !why.empty()) {
        error = "want a readable file of certificate authorities, found " + ca_file + ": " + why;
        return nullptr;
    }
    rule->store_ = X509_STORE_new();
    rule->names_ = sk_X509_NAME_new_null();
    if (!rule->store_ || !rule->names_) throw std::bad_alloc{};
    const auto authorities = read_authorities(ca_file, bytes, error);
    if (authorities.empty()) return nullptr;
    for (const auto& authority : authorities) {
        X509_STORE_add_cert(rule->store_, authority.get());
        sk_X509_NAME_push(rule->names_, X509_NAME_dup(X509_get_subject_name(authority.get())));
    }
    ERR_clear_error();
    bytes += mode == conf::ClientCertificates::required ? "required" : "optional";
    SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), rule->id_.data());
    return rule;
}

bool ClientRule::apply(ssl_st* ssl) const noexcept {
    if (mode_ == conf::ClientCertificates::none) return true;
    const bool required = mode_ == conf::ClientCertificates::required;
    SSL_set_verify(ssl, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    if (SSL_set1_verify_cert_store(ssl, store_) != 1) return false;
    STACK_OF(X509_NAME)* names = sk_X509_NAME_deep_copy(names_, X509_NAME_dup, X509_NAME_free);
    if (!names) return false;
    SSL_set_client_CA_list(ssl, names);
    return true;
}

std::string identity_lines(x509_st* certificate, const conf::ClientIdentity& names) {
    std::string lines;
    const auto add = [&](const std::string& name, const std::string& value) {
        if (!value.empty() && value.size() <= largest_value) lines += name + ": " + value + "\r\n";
    };
    if (!names.subject.empty()) add(names.subject, subject_of(certificate));
    if (!names.san.empty()) add(names.san, alternatives_of(certificate));
    if (!names.fingerprint.empty()) add(names.fingerprint, fingerprint_of(certificate));
    if (!names.certificate.empty()) add(names.certificate, encoded(certificate));
    return lines;
}

CertificateNames certificate_names(x509_st* certificate) {
    return {fingerprint_of(certificate), alternatives_of(certificate)};
}

}  // namespace nearhop::wire
