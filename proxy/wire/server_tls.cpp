#include "proxy/wire/server_tls.h"

#include "proxy/wire/key_pair.h"
#include "proxy/wire/ocsp.h"
#include "proxy/wire/pem_file.h"
#include "proxy/wire/tls_context.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <new>
#include <string_view>
#include <sys/stat.h>
#include <unordered_map>
#include <utility>

namespace nearhop::wire {
namespace {

// Mozilla's "intermediate" list for TLS 1.2 without its DHE suites: no client of today needs them, and a finite-field
// key exchange is the cheapest way to make a server burn CPU.
constexpr const char* intermediate_ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* intermediate_ciphersuites =  // of TLS 1.3, in Mozilla's order; OpenSSL's begins with AES-256
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* groups = "X25519MLKEM768:X25519:P-256:P-384";  // Mozilla's as well
constexpr const char* groups_before_3_5 = "X25519:P-256:P-384";
constexpr unsigned char both_protocols[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower_case(std::string_view text) {
    std::string result{text};
    for (char& c : result) c = lower(c);
    return result;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (!time || ASN1_TIME_to_tm(time, &parts) != 1) return {};
    return std::chrono::system_clock::from_time_t(timegm(&parts));
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

/// Of any kind: an address will do for an edge without a name.
bool has_alternative_names(const X509* certificate) {
    return X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1) >= 0;
}

/// The contexts by name. It belongs to the first context, through OpenSSL's ex_data, and not to ServerTls: an SSL
/// keeps its context alive but knows nothing of ServerTls, and a slow handshake may outlive a reload.
struct NameTable {
    std::unordered_map<std::string, ssl_ctx_st*> by_name;  ///< null: the first context itself, which cannot own itself
    std::vector<SslContext> others;
    ClientRuleOf rules;

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

void free_id(void*, void* id, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<ClientRule::Id*>(id); }

/// Of a context's certificate, the same after a reload.
int id_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_id);
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

/// Different for each certificate and each rule about clients.
bool set_session_context(ssl_st* ssl, const ClientRule::Id& rule) {
    const auto* certificate = static_cast<const ClientRule::Id*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), id_index()));
    if (!certificate) return false;
    ClientRule::Id id = *certificate;
    for (std::size_t i = 0; i < id.size(); ++i) id[i] = static_cast<unsigned char>(id[i] ^ rule[i]);
    return SSL_set_session_id_context(ssl, id.data(), static_cast<unsigned>(id.size())) == 1;
}

/// Runs before OpenSSL looks at tickets: certificate, client rule and session id context are final when a session is
/// resumed, so a session made under one of them never resumes under another (CVE-2025-23419).
int on_client_hello(ssl_st* ssl, int*, void*) {
    const auto* table = static_cast<const NameTable*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), table_index()));
    if (!table) return SSL_CLIENT_HELLO_SUCCESS;
    auto* facts = static_cast<ServerHandshake*>(SSL_get_app_data(ssl));
    try {
        const std::string name = lower_case(server_name(ssl));
        if (!name.empty())
            if (auto* context = table->find(name); context && !SSL_set_SSL_CTX(ssl, context))
                return SSL_CLIENT_HELLO_ERROR;
        if (facts) facts->server_name = name;
        const ClientRule* rule = table->rules ? table->rules(name) : nullptr;
        if (!rule && facts) rule = facts->listener_rule;
        if (!rule) return SSL_CLIENT_HELLO_SUCCESS;
        if (facts) facts->client_rule = rule->id();
        if (!rule->apply(ssl) || !set_session_context(ssl, rule->id())) return SSL_CLIENT_HELLO_ERROR;
    } catch (const std::bad_alloc&) {
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/// RFC 7301 section 3.2: a client that offers only protocols that we do not speak gets no_application_protocol.
int on_alpn(ssl_st* ssl, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
            unsigned offered_size, void*) {
    unsigned char* out = nullptr;
    // Our preference counts: HTTP/2 first, where the listener speaks it (ServerHandshake::http2).
    const auto* facts = static_cast<ServerHandshake*>(SSL_get_app_data(ssl));
    const bool http2 = facts && facts->http2;
    const auto* ours = http2 ? both_protocols : http1_protocol;
    const unsigned size = http2 ? sizeof both_protocols : sizeof http1_protocol;
    if (SSL_select_next_proto(&out, chosen_size, ours, size, offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = out;
    return SSL_TLSEXT_ERR_OK;
}

/// A session ends with the certificate that its client showed: the ticket counts for none, and the full handshake asks
/// for another certificate.
SSL_TICKET_RETURN on_opened_ticket(SSL*, SSL_SESSION* session, const unsigned char*, std::size_t,
                                   SSL_TICKET_STATUS status, void*) {
    const bool opened = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    if (!opened || is_expired(SSL_SESSION_get0_peer(session))) return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/// Everything that does not depend on the certificate.
void set_up(ssl_ctx_st* context, const conf::Tls& tls, const TicketKeys& keys) {
    SSL_CTX_set_min_proto_version(context, number_of(tls.min_version));
    if (SSL_CTX_set1_groups_list(context, groups) != 1) {  // an OpenSSL without ML-KEM
        ERR_clear_error();
        SSL_CTX_set1_groups_list(context, groups_before_3_5);
    }
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    keys.attach(context, tls.ticket_keys->empty() ? tls.ticket_rotation : std::chrono::seconds{0});
    SSL_CTX_set_session_ticket_cb(context, nullptr, &on_opened_ticket, nullptr);
    // Our order counts, except for a client without AES in hardware, which puts ChaCha20 first.
    SSL_CTX_set_ciphersuites(context, intermediate_ciphersuites);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_recv_max_early_data(context, 0);
    SSL_CTX_set_alpn_select_cb(context, &on_alpn, nullptr);
}

/// Different for each certificate, or those that serve together, and the same after a reload: sessions survive one.
void set_session_context(ssl_ctx_st* context, const std::string& files) {
    auto id = std::make_unique<ClientRule::Id>();
    SHA256(reinterpret_cast<const unsigned char*>(files.data()), files.size(), id->data());
    SSL_CTX_set_session_id_context(context, id->data(), static_cast<unsigned>(id->size()));
    if (SSL_CTX_set_ex_data(context, id_index(), id.get()) != 1) throw std::bad_alloc{};
    [[maybe_unused]] auto* const owned_by_context = id.release();
}

/// The file's keys, or the process's own; those too after an error, so that the rest is looked at.
std::shared_ptr<const TicketKeys> keys_for(const conf::Tls& tls, const TicketKeys& own, Reporter& report) {
    auto ours = std::make_shared<const TicketKeys>(own);
    if (tls.ticket_keys->empty()) return ours;
    std::string bytes;
    std::string error;
    if (const auto why = read_file(*tls.ticket_keys, bytes); !why.empty()) {
        report.error(tls.ticket_keys, "want a readable file of ticket keys, found " + *tls.ticket_keys + ": " + why);
        return ours;
    }
    auto keys = TicketKeys::from_bytes(bytes, error);
    OPENSSL_cleanse(bytes.data(), bytes.size());
    if (!keys) {
        report.error(tls.ticket_keys, "want " + error + " in " + *tls.ticket_keys);
        return ours;
    }
    struct stat facts{};
    if (::stat(tls.ticket_keys->c_str(), &facts) == 0 && (facts.st_mode & S_IRWXO) != 0)
        report.warning(tls.ticket_keys,
                       "every user may read " + *tls.ticket_keys + ": a reader can decrypt old traffic");
    return keys;
}

void load_staple(ssl_ctx_st* context, const KeyPair& pair, const conf::At<std::string>& file, Reporter& report) {
    if (file->empty()) return;
    std::string error;
    std::string warning;
    staple(context, pair, *file, error, warning);
    if (!error.empty()) report.error(file, error);
    if (!warning.empty()) report.warning(file, warning);
}

/// A certificate as it is configured.
struct Shown {
    conf::Certificate files;
    KeyPair pair;
    std::vector<std::string> names;
    int kind = 0;  ///< of its key: of each OpenSSL has one, and chooses by what the client can verify
};

/// Indices of certificates that serve one name together, in their order.
using Together = std::vector<std::size_t>;

/// Of each kind the first that has the name.
std::map<std::string, Together> together_by_name(const std::vector<Shown>& all) {
    std::map<std::string, Together> by_name;
    for (std::size_t i = 0; i < all.size(); ++i)
        for (const auto& name : all[i].names) {
            Together& those = by_name[name];
            if (std::none_of(those.begin(), those.end(), [&](std::size_t at) { return all[at].kind == all[i].kind; }))
                those.push_back(i);
        }
    return by_name;
}

void warn_of_hidden(const std::vector<Shown>& all, const std::map<std::string, Together>& by_name, Reporter& report) {
    for (std::size_t i = 1; i < all.size(); ++i) {
        const bool is_shown = std::any_of(by_name.begin(), by_name.end(), [i](const auto& each) {
            return std::find(each.second.begin(), each.second.end(), i) != each.second.end();
        });
        if (!is_shown)
            report.warning(all[i].files.certificate,
                           "the certificate in " + *all[i].files.certificate +
                               " is never used: earlier ones have its names, with keys of its kind");
    }
}

SslContext make_server_context(const conf::Tls& tls, const std::string& ciphers, const TicketKeys& keys,
                               const std::vector<Shown>& all, const Together& together, Reporter& report) {
    SslContext context = make_context(TLS_server_method());
    set_up(context.get(), tls, keys);
    SSL_CTX_set_cipher_list(context.get(), ciphers.c_str());
    std::string files;
    for (const std::size_t i : together) {
        const Shown& shown = all[i];
        if (shown.pair.install(context.get(), shown.files, report))
            load_staple(context.get(), shown.pair, shown.files.ocsp, report);
        files += (files.empty() ? "" : "\n") + *shown.files.certificate;
    }
    set_session_context(context.get(), files);
    ERR_clear_error();
    return context;
}

}  // namespace

std::shared_ptr<const ServerTls> ServerTls::load(const conf::Tls& tls, const TicketKeys& own, conf::Problems& problems,
                                                 ClientRuleOf rules) {
    Reporter report{problems};
    const auto keys = keys_for(tls, own, report);
    auto result = std::make_shared<ServerTls>();
    const std::string ciphers = tls.ciphers->empty() ? intermediate_ciphers : *tls.ciphers;
    if (!is_cipher_list(ciphers)) report.error(tls.ciphers, "want an OpenSSL cipher list, found \"" + ciphers + '"');
    std::vector<Shown> all;
    for (const auto& files : tls.certificates) {
        auto pair = KeyPair::load(files, report);
        if (!pair) continue;
        X509* const leaf = pair->certificate.get();
        if (!has_alternative_names(leaf))
            report.warning(files.certificate, "the certificate in " + *files.certificate +
                                                  " has no alternative name: clients ignore its common name "
                                                  "(RFC 9525)");
        result->expiries_.push_back({*files.certificate, time_of(X509_get0_notAfter(leaf))});
        all.push_back({files, std::move(*pair), names_of(leaf), EVP_PKEY_get_base_id(X509_get0_pubkey(leaf))});
    }
    if (all.empty()) return nullptr;

    const auto by_name = together_by_name(all);
    warn_of_hidden(all, by_name, report);
    auto table = std::make_unique<NameTable>();
    table->rules = std::move(rules);
    // The first certificate is for everybody without a name, and for those without one of ours.
    const Together first = all.front().names.empty() ? Together{0} : by_name.at(all.front().names.front());
    std::map<Together, ssl_ctx_st*> made;
    const auto context_for = [&](const Together& together) {
        auto& known = made[together];
        if (!known) {
            result->contexts_.push_back(make_server_context(tls, ciphers, *keys, all, together, report));
            known = result->contexts_.back().get();
        }
        return known;
    };
    ssl_ctx_st* const front = context_for(first);
    for (const auto& [name, together] : by_name) {
        ssl_ctx_st* const context = context_for(together);
        table->add(name, context == front ? nullptr : context);
    }
    if (report.failed()) return nullptr;
    for (std::size_t i = 1; i < result->contexts_.size(); ++i) {
        SSL_CTX_up_ref(result->contexts_[i].get());
        table->others.emplace_back(result->contexts_[i].get());
    }
    if (SSL_CTX_set_ex_data(front, table_index(), table.get()) != 1) throw std::bad_alloc{};
    [[maybe_unused]] auto* const owned_by_context = table.release();
    SSL_CTX_set_client_hello_cb(front, &on_client_hello, nullptr);
    return result;
}

bool ServerTls::same_certificate(std::string_view left, std::string_view right) const {
    if (contexts_.size() == 1) return true;
    const auto* table = static_cast<const NameTable*>(SSL_CTX_get_ex_data(context(), table_index()));
    return table->find(lower_case(left)) == table->find(lower_case(right));
}

bool ServerTls::covers(const std::string& host) const {
    const std::string name = host.starts_with("*.") ? "any" + host.substr(1) : host;
    return std::any_of(contexts_.begin(), contexts_.end(), [&](const auto& context) {
        X509* const leaf = SSL_CTX_get0_certificate(context.get());  // others beside it have its context's names too
        return X509_check_host(leaf, name.data(), name.size(), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1 ||
               X509_check_ip_asc(leaf, name.c_str(), 0) == 1;
    });
}

bool is_cipher_list(const std::string& ciphers) {
    const SslContext context = make_context(TLS_server_method());
    const bool good = SSL_CTX_set_cipher_list(context.get(), ciphers.c_str()) == 1;
    ERR_clear_error();
    return good;
}

void restrict(ssl_st* ssl, const std::optional<conf::TlsVersion>& min_version, const std::string& ciphers) {
    if (min_version) SSL_set_min_proto_version(ssl, number_of(*min_version));
    if (!ciphers.empty()) SSL_set_cipher_list(ssl, ciphers.c_str());
}

}  // namespace nearhop::wire
