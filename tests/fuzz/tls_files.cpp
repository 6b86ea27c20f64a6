#include "proxy/wire/client_rule.h"
#include "proxy/wire/origin_tls.h"
#include "proxy/wire/server_tls.h"
#include "tests/fuzz/support.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace nearhop;
using fuzz::require;

namespace {

using Bytes = std::string;

/// Always the same key, so that an input always means the same files.
EVP_PKEY* make_key(bool elliptic, char seed) {
    Bytes secret(32, seed);
    if (!elliptic)
        return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, reinterpret_cast<unsigned char*>(secret.data()),
                                            secret.size());
    const Bytes der = Bytes{"\x30\x31\x02\x01\x01\x04\x20", 7} + secret +
                      Bytes{"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 12};  // ECPrivateKey, P-256
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    return d2i_PrivateKey(EVP_PKEY_EC, nullptr, &at, static_cast<long>(der.size()));
}

struct Identity {
    EVP_PKEY* key;
    X509* certificate = X509_new();

    Identity(bool elliptic, char seed, const Identity* issuer) : key{make_key(elliptic, seed)} {
        X509_set_version(certificate, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), seed);
        ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20000101000000Z");
        ASN1_TIME_set_string(X509_getm_notAfter(certificate), "20990101000000Z");
        X509_set_pubkey(certificate, key);
        X509_NAME* const name = X509_get_subject_name(certificate);
        const Bytes common{seed};
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(common.data()), 1,
                                   -1, 0);
        X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer->certificate) : name);
        X509_EXTENSION* const extension =
            issuer ? X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:a.test")
                   : X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
        X509_sign(certificate, issuer ? issuer->key : key, nullptr);  // by Ed25519, which takes no dice
    }
    ~Identity() {
        X509_free(certificate);
        EVP_PKEY_free(key);
    }
    Identity(const Identity&) = delete;
    Identity& operator=(const Identity&) = delete;
    template <class Write>
    static Bytes text(Write write) {
        BIO* const bio = BIO_new(BIO_s_mem());
        write(bio);
        char* bytes = nullptr;
        const long size = BIO_get_mem_data(bio, &bytes);
        Bytes result{bytes, static_cast<std::size_t>(size)};
        BIO_free(bio);
        return result;
    }
    Bytes pem() const {
        return text([this](BIO* bio) { PEM_write_bio_X509(bio, certificate); });
    }
    Bytes key_pem() const {
        return text([this](BIO* bio) { PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
    }
};

Bytes response_for(const Identity& leaf, const Identity& authority) {
    OCSP_BASICRESP* const basic = OCSP_BASICRESP_new();
    OCSP_CERTID* const id = OCSP_cert_to_id(EVP_sha1(), leaf.certificate, authority.certificate);
    ASN1_TIME* const from = ASN1_TIME_new();
    ASN1_TIME_set_string(from, "20000101000000Z");
    OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, nullptr, from, nullptr);
    OCSP_basic_sign(basic, authority.certificate, authority.key, nullptr, nullptr, OCSP_NOCERTS);
    OCSP_RESPONSE* const response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char* der = nullptr;
    const int size = i2d_OCSP_RESPONSE(response, &der);
    Bytes bytes{reinterpret_cast<char*>(der), static_cast<std::size_t>(std::max(size, 0))};
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    OCSP_BASICRESP_free(basic);
    return bytes;
}

enum Slot : std::size_t {
    chain,
    chain_key,
    second,
    second_key,
    ocsp,
    tickets,
    client_ca,
    origin_ca,
    shown,
    shown_key,
    slots
};

/// What belongs into each slot, by its number.
const std::array<Bytes, slots>& right_contents() {
    static const std::array<Bytes, slots> contents = [] {
        const Identity authority{false, 'a', nullptr}, first{true, 'b', &authority}, other{false, 'c', &authority};
        std::array<Bytes, slots> made;
        made[chain] = first.pem() + authority.pem();
        made[chain_key] = first.key_pem();
        made[second] = made[shown] = other.pem();
        made[second_key] = made[shown_key] = other.key_pem();
        made[ocsp] = response_for(first, authority);
        made[tickets] = Bytes(80, '\1') + Bytes(80, '\2');
        made[client_ca] = made[origin_ca] = authority.pem() + Identity{false, 'd', nullptr}.pem();
        return made;
    }();
    return contents;
}

/// Bytes of the input one after the other, then zeros.
struct Orders {
    std::string_view left;
    bool any() const { return !left.empty(); }
    std::uint8_t byte() {
        if (left.empty()) return 0;
        const auto value = static_cast<std::uint8_t>(left.front());
        left.remove_prefix(1);
        return value;
    }
    std::size_t below(std::size_t end) {
        const std::size_t value = byte() * 256U + byte();
        return end == 0 ? 0 : value % end;
    }
    std::string_view some() {
        const auto piece = left.substr(0, byte() % 32);
        left.remove_prefix(std::min(left.size(), piece.size()));
        return piece;
    }
};

/// The files as copies under way, mistakes and accidents leave them.
std::array<Bytes, slots> spoil(Orders orders) {
    auto files = right_contents();
    while (orders.any()) {
        Bytes& file = files[orders.byte() % slots];
        const Bytes& other = right_contents()[orders.byte() % slots];
        switch (orders.byte() % 8) {
            case 0: file = other; break;
            case 1: file.resize(orders.below(file.size() + 1)); break;
            case 2:
                if (!file.empty()) {
                    char& c = file[orders.below(file.size())];
                    c = static_cast<char>(c ^ orders.byte());
                }
                break;
            case 3: file += other; break;
            case 4: file.insert(0, other); break;
            case 5: {  // overwritten in place up to the middle
                const std::size_t size = orders.below(std::min(file.size(), other.size()) + 1);
                file.replace(0, size, other, 0, size);
                break;
            }
            case 6: file.insert(orders.below(file.size() + 1), orders.some()); break;
            case 7: file = orders.some(); break;
        }
    }
    return files;
}

/// A file that is there for as long as this is.
class Memory {
public:
    explicit Memory(const Bytes& content) : descriptor_{memfd_create("fuzz", MFD_CLOEXEC)} {
        require(descriptor_ >= 0 &&
                write(descriptor_, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    }
    ~Memory() { close(descriptor_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    std::string name() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
    int descriptor_;
};

/// An error says which file, and at which key.
void require_named(const conf::Problems& problems, bool loaded) {
    require(conf::has_errors(problems) == !loaded);
    for (const auto& problem : problems) {
        require(problem.mark.line > 0 && problem.mark.column > 0 && !problem.path.empty());
        require(problem.what.find("/proc/self/fd/") != problem.what.npos);
        require(fuzz::is_clean_value(problem.what));
    }
}

/// What was accepted serves: nobody would be refused for the edge's files.
void require_handshake(ssl_ctx_st* server_context) {
    static SSL_CTX* const client_context = SSL_CTX_new(TLS_client_method());
    const wire::Ssl client{SSL_new(client_context)}, server{SSL_new(server_context)};
    BIO *near = nullptr, *far = nullptr;
    BIO_new_bio_pair(&near, 64 * 1024, &far, 64 * 1024);
    SSL_set_bio(client.get(), near, near);
    SSL_set_bio(server.get(), far, far);
    SSL_set_connect_state(client.get());
    SSL_set_accept_state(server.get());
    SSL_set_tlsext_host_name(client.get(), "a.test");
    SSL_set_tlsext_status_type(client.get(), TLSEXT_STATUSTYPE_ocsp);
    for (int i = 0; i < 5; ++i) {
        SSL_do_handshake(client.get());
        SSL_do_handshake(server.get());
    }
    ERR_clear_error();
    require(SSL_is_init_finished(client.get()) == 1 && SSL_is_init_finished(server.get()) == 1);
}

conf::At<std::string> at(const Memory& file, int column) { return {file.name(), {1, column}, "key"}; }

}  // namespace

/// Any wrong pairing, order and state of the files of TLS: refused with the file's name, or good for handshakes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = fuzz::text_of(data, std::min<std::size_t>(size, 256));
    const auto contents = spoil({input});
    std::vector<std::unique_ptr<Memory>> files;
    for (const auto& content : contents) files.push_back(std::make_unique<Memory>(content));
    const auto file = [&](Slot slot) { return at(*files[slot], static_cast<int>(slot) + 1); };
    static const wire::TicketKeys keys;

    conf::Tls tls;
    tls.certificates = {{file(chain), file(chain_key), file(ocsp)}, {file(second), file(second_key), {}}};
    tls.ticket_keys = file(tickets);
    conf::Problems problems;
    const auto server = wire::ServerTls::load(tls, keys, problems);
    require_named(problems, server != nullptr);
    if (server) require_handshake(server->context());

    std::string error;
    const auto rule = wire::ClientRule::load(conf::ClientCertificates::required, files[client_ca]->name(), error);
    require((rule == nullptr) == (error.find(files[client_ca]->name()) != error.npos));

    problems.clear();
    conf::OriginTls origin;
    origin.certificate = file(shown);
    origin.private_key = file(shown_key);
    const auto made = wire::load_origin_tls(file(origin_ca), origin, problems);
    require_named(problems, made.context != nullptr);

    if (input.empty()) require(server && rule && made.context);
    require(ERR_peek_error() == 0);  // what is left in the queue is taken for the next handshake's error
    return 0;
}
