#include "proxy/wire/pem_file.h"

#include "conf/regular_file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <new>

namespace nearhop::wire {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

constexpr std::string_view begin_line = "-----BEGIN ";
constexpr std::string_view end_line = "-----END ";

Bio over(std::string_view text) {
    Bio bio{BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
    if (!bio) throw std::bad_alloc{};
    return bio;
}

/// One block, decoded: its kind, such as "CERTIFICATE", and its bytes.
struct Block {
    char* kind = nullptr;
    char* header = nullptr;
    unsigned char* bytes = nullptr;
    long size = 0;

    Block() = default;
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    ~Block() {
        OPENSSL_free(kind);
        OPENSSL_free(header);
        OPENSSL_clear_free(bytes, static_cast<std::size_t>(size));  // it may be a private key
    }
    bool is_certificate() const {
        const std::string_view name{kind};
        return name == PEM_STRING_X509 || name == PEM_STRING_X509_OLD || is_trusted();
    }
    bool is_trusted() const { return std::string_view{kind} == PEM_STRING_X509_TRUSTED; }
};

/// OpenSSL passes over lines that it takes for no PEM: a block whose first line is damaged or cut would not be missed.
bool has_odd_line(std::string_view pem, std::size_t blocks) {
    std::size_t begins = 0;
    std::size_t ends = 0;
    for (;;) {
        const auto end = pem.find('\n');
        const auto line = pem.substr(0, end);
        begins += line.starts_with(begin_line) ? 1 : 0;
        ends += line.starts_with(end_line) ? 1 : 0;
        if (end == pem.npos) {
            const bool cut = !line.empty() && line.size() < begin_line.size() && begin_line.starts_with(line);
            return cut || begins != blocks || ends != blocks;
        }
        pem.remove_prefix(end + 1);
    }
}

X509Certificate decode(const Block& block) {
    const unsigned char* at = block.bytes;
    X509Certificate certificate{block.is_trusted() ? d2i_X509_AUX(nullptr, &at, block.size)
                                                   : d2i_X509(nullptr, &at, block.size)};
    return at == block.bytes + block.size ? std::move(certificate) : nullptr;
}

}  // namespace

std::string read_file(const std::string& file, std::string& bytes) {
    constexpr std::size_t most = 16 * 1024 * 1024;
    if (const auto fault = conf::read_regular_file(file, most + 1, bytes)) return fault.words();
    if (bytes.size() > most) return "it is larger than 16 MiB";
    return bytes.empty() ? "it is empty" : "";
}

std::vector<X509Certificate> read_certificates(std::string_view pem, std::string& error) {
    const auto in = over(pem);
    std::vector<X509Certificate> certificates;
    std::string other;
    ERR_clear_error();
    for (std::size_t blocks = 0;; ++blocks) {
        Block block;
        if (PEM_read_bio(in.get(), &block.kind, &block.header, &block.bytes, &block.size) != 1) {
            const auto why = ERR_peek_last_error();
            ERR_clear_error();
            const bool at_end = ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
            if (at_end && !has_odd_line(pem, blocks)) break;
            error = "it is damaged or incomplete after " + std::to_string(blocks) + " good parts";
            return {};
        }
        if (!block.is_certificate()) {
            other = block.kind;
            continue;
        }
        auto certificate = decode(block);
        ERR_clear_error();
        if (!certificate || !X509_get0_pubkey(certificate.get())) {
            ERR_clear_error();
            error = "certificate " + std::to_string(certificates.size() + 1) + " in it is damaged";
            return {};
        }
        certificates.push_back(std::move(certificate));
    }
    if (certificates.empty()) error = "there is none in it" + (other.empty() ? other : ", but a " + other);
    return certificates;
}

PrivateKey read_private_key(std::string_view pem, std::string& error) {
    const auto in = over(pem);
    ERR_clear_error();
    // An encrypted key must fail, not ask for its password on the terminal.
    PrivateKey key{PEM_read_bio_PrivateKey(in.get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr)};
    if (!key) error = last_error();
    ERR_clear_error();
    return key;
}

std::vector<X509Certificate> read_authorities(const std::string& file, std::string_view pem, std::string& error) {
    std::string why;
    auto authorities = read_certificates(pem, why);
    // A chain is accepted where it ends with a certificate that signed itself, or that its file calls trusted.
    const bool ends_chains = std::any_of(authorities.begin(), authorities.end(), [](const auto& each) {
        return (X509_get_extension_flags(each.get()) & EXFLAG_SS) != 0 || X509_trusted(each.get()) != 0;
    });
    if (why.empty() && !ends_chains) why = "none in it is self-signed, so no chain could end there";
    // OpenSSL does not look: a damaged authority would be noticed by everybody who is refused because of it.
    for (std::size_t i = 0; i < authorities.size() && why.empty(); ++i)
        if (X509* const each = authorities[i].get(); (X509_get_extension_flags(each) & EXFLAG_SS) != 0)
            if (X509_verify(each, X509_get0_pubkey(each)) == 0)
                why = "certificate " + std::to_string(i + 1) + " in it is damaged: its signature is not its own";
    ERR_clear_error();
    if (why.empty()) return authorities;
    error = "want certificate authorities in PEM form, found " + file + ": " + why;
    return {};
}

std::string last_error() {
    const unsigned long error = ERR_peek_error();
    ERR_clear_error();
    // "no start line" is OpenSSL's way to say that a file is not PEM.
    if (ERR_GET_LIB(error) == ERR_LIB_PEM) return "it is not in PEM form, or its password is not known";
    const char* reason = ERR_reason_error_string(error);
    return reason ? reason : "OpenSSL gives no reason";
}

}  // namespace nearhop::wire
