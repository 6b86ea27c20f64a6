#include "proxy/wire/tls_context.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace nearhop::wire {
namespace {

// Mozilla's "intermediate" list for TLS 1.2 without its DHE suites: no client of today needs them, and a finite-field
// key exchange is the cheapest way to make a server burn CPU.
constexpr const char* intermediate_ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* groups = "X25519:P-256:P-384";
constexpr unsigned char protocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
constexpr unsigned char both_protocols[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower_case(std::string_view text) {
    std::string result{text};
    for (char& c : result) c = lower(c);
    return result;
}

/// The innermost OpenSSL error in words; the queue is empty afterwards.
std::string last_error() {
    const unsigned long error = ERR_peek_error();
    ERR_clear_error();
    // "no start line" is OpenSSL's way to say that a file is not PEM.
    if (ERR_GET_LIB(error) == ERR_LIB_PEM) return "it is not in PEM form, or its password is not known";
    const char* reason = ERR_reason_error_string(error);
    return reason ? reason : "OpenSSL gives no reason";
}

/// Why a file cannot be read; empty when it can.
std::string why_unreadable(const std::string& file) {
    std::FILE* opened = std::fopen(file.c_str(), "rb");
    if (!opened) return std::strerror(errno);
    errno = 0;
    const bool failed = std::fgetc(opened) == EOF;
    const int error = errno;  // a directory opens, and fails here
    std::fclose(opened);
    if (!failed) return {};
    return error != 0 ? std::strerror(error) : "it is empty";
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (!time || ASN1_TIME_to_tm(time, &parts) != 1) return {};
    return std::chrono::system_clock::from_time_t(timegm(&parts));
}

std::string date_of(const ASN1_TIME* time) {
    std::tm parts{};
    char text[32] = "?";
    if (time && ASN1_TIME_to_tm(time, &parts) == 1) std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
    return text;
}

/// DNS names of the certificate, lower case.
std::vector<std::string> names_of(X509* certificate) {
    std::vector<std::string> names;
    auto* all = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
        if (name->type != GEN_DNS) continue;
        const std::string_view text{reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                                    static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))};
        names.push_back(lower_case(text));
    }
    GENERAL_NAMES_free(all);
    return names;
}

/// The contexts by name. It belongs to the first context, through OpenSSL's ex_data, and not to ServerTls: an SSL
/// keeps its context alive but knows nothing of ServerTls, and a slow handshake may outlive a reload.
struct NameTable {
    std::unordered_map<std::string, ssl_ctx_st*> by_name;  ///< null: the first context itself, which cannot own itself
    std::vector<SslContext> others;

    void add(const std::string& name, ssl_ctx_st* context) { by_name.emplace(name, context); }

    /// Null: stay with the first.
    ssl_ctx_st* find(const std::string& name) const {
        if (const auto exact = by_name.find(name); exact != by_name.end()) return exact->second;
        const auto dot = name.find('.');
        if (dot == 0 || dot == name.npos) return nullptr;
        const auto wildcard = by_name.find("*" + name.substr(dot));
        return wildcard == by_name.end() ? nullptr : wildcard->second;
    }
};

void free_table(void*, void* table, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<NameTable*>(table); }

int table_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_table);
    return index;
}

/// The host name of a ClientHello; empty when there is none or it is malformed (OpenSSL refuses the latter itself).
std::string_view server_name(ssl_st* ssl) noexcept {
    const unsigned char* bytes = nullptr;
    std::size_t size = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) != 1 || size < 5) return {};
    const std::size_t list = static_cast<std::size_t>(bytes[0]) << 8 | bytes[1];
    const std::size_t name = static_cast<std::size_t>(bytes[3]) << 8 | bytes[4];
    if (list + 2 != size || bytes[2] != TLSEXT_NAMETYPE_host_name || name + 5 > size || name > 255) return {};
    return {reinterpret_cast<const char*>(bytes + 5), name};
}

/// Runs before OpenSSL looks at tickets: certificate and session id context are final when a session is resumed, so a
/// session of one certificate never resumes under another (CVE-2025-23419).
int on_client_hello(ssl_st* ssl, int*, void*) {
    const auto* table = static_cast<const NameTable*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), table_index()));
    const std::string_view name = server_name(ssl);
    if (!table || name.empty()) return SSL_CLIENT_HELLO_SUCCESS;
    try {
        if (auto* context = table->find(lower_case(name)))
            return SSL_set_SSL_CTX(ssl, context) ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
    } catch (const std::bad_alloc&) {
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/// RFC 7301 section 3.2: a client that offers only protocols that we do not speak gets no_application_protocol.
int on_alpn(ssl_st* ssl, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
            unsigned offered_size, void*) {
    unsigned char* out = nullptr;
    // Our preference counts: HTTP/2 first, where the listener speaks it (Stream::start_tls_server).
    const bool http2 = SSL_get_app_data(ssl) != nullptr;
    const auto* ours = http2 ? both_protocols : protocols;
    const unsigned size = http2 ? sizeof both_protocols : sizeof protocols;
    if (SSL_select_next_proto(&out, chosen_size, ours, size, offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = out;
    return SSL_TLSEXT_ERR_OK;
}

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

/// Everything that does not depend on the certificate.
void set_up(ssl_ctx_st* context, const conf::Tls& tls, const TicketKeys& keys) {
    const int lowest = tls.min_version == conf::TlsVersion::tls1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    SSL_CTX_set_min_proto_version(context, lowest);
    SSL_CTX_set1_groups_list(context, groups);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    TicketKeys copy = keys;  // the setter wants a mutable pointer
    SSL_CTX_set_tlsext_ticket_keys(context, copy.data(), static_cast<long>(copy.size()));
    OPENSSL_cleanse(copy.data(), copy.size());
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_recv_max_early_data(context, 0);
    SSL_CTX_set_alpn_select_cb(context, &on_alpn, nullptr);
}

/// Collects what is wrong with the files of the `tls` section.
class Reporter {
public:
    explicit Reporter(conf::Problems& problems) : problems_{problems} {}
    void error(const conf::At<std::string>& where, std::string what) {
        problems_.push_back({conf::Severity::error, where.mark, where.path, std::move(what)});
        failed_ = true;
    }
    void warning(const conf::At<std::string>& where, std::string what) {
        problems_.push_back({conf::Severity::warning, where.mark, where.path, std::move(what)});
    }
    bool failed() const noexcept { return failed_; }

private:
    conf::Problems& problems_;
    bool failed_ = false;
};

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

/// Different for each certificate and the same after a reload, so that sessions survive one.
void set_session_context(ssl_ctx_st* context, const std::string& certificate) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(certificate.data()), certificate.size(), digest);
    SSL_CTX_set_session_id_context(context, digest, sizeof digest);
}

}  // namespace

TicketKeys make_ticket_keys() {
    TicketKeys keys{};
    if (RAND_bytes(keys.data(), static_cast<int>(keys.size())) != 1)
        throw std::runtime_error{"no random bytes for session ticket keys"};
    return keys;
}

std::shared_ptr<const ServerTls> ServerTls::load(const conf::Tls& tls, const TicketKeys& keys,
                                                 conf::Problems& problems) {
    Reporter report{problems};
    auto result = std::make_shared<ServerTls>();
    ERR_clear_error();
    for (const auto& pair : tls.certificates) {
        auto entry = std::make_unique<Entry>();
        entry->context = make_context(TLS_server_method());
        auto* context = entry->context.get();
        set_up(context, tls, keys);
        const std::string ciphers = tls.ciphers->empty() ? intermediate_ciphers : *tls.ciphers;
        if (SSL_CTX_set_cipher_list(context, ciphers.c_str()) != 1 && result->entries_.empty())
            report.error(tls.ciphers, "want an OpenSSL cipher list, found \"" + ciphers + "\": " + last_error());
        ERR_clear_error();
        const bool loaded = load_certificate(context, pair.certificate, report);
        load_key(context, pair, loaded, report);
        if (loaded) {
            X509* leaf = SSL_CTX_get0_certificate(context);
            entry->names = names_of(leaf);
            entry->expiry = {*pair.certificate, time_of(X509_get0_notAfter(leaf))};
        }
        set_session_context(context, *pair.certificate);
        result->entries_.push_back(std::move(entry));
    }
    if (report.failed() || result->entries_.empty()) return nullptr;

    auto table = std::make_unique<NameTable>();
    for (const auto& entry : result->entries_) {
        const bool first = entry == result->entries_.front();
        for (const auto& name : entry->names) table->add(name, first ? nullptr : entry->context.get());
        if (first) continue;
        SSL_CTX_up_ref(entry->context.get());
        table->others.emplace_back(entry->context.get());
    }
    auto* front = result->context();
    if (SSL_CTX_set_ex_data(front, table_index(), table.get()) != 1) throw std::bad_alloc{};
    [[maybe_unused]] auto* const owned_by_context = table.release();
    SSL_CTX_set_client_hello_cb(front, &on_client_hello, nullptr);
    return result;
}

std::vector<ServerTls::Expiry> ServerTls::expiries() const {
    std::vector<Expiry> all;
    all.reserve(entries_.size());
    for (const auto& entry : entries_) all.push_back(entry->expiry);
    return all;
}

std::shared_ptr<ssl_ctx_st> load_origin_context(const std::string& ca_file, std::string& error) {
    ERR_clear_error();
    std::shared_ptr<ssl_ctx_st> context{make_context(TLS_client_method())};
    auto* raw = context.get();
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_alpn_protos(raw, protocols, sizeof protocols);
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
