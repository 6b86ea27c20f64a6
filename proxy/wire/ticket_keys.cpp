#include "proxy/wire/ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <vector>

namespace nearhop::wire {
namespace {

struct Key {
    std::array<unsigned char, TicketKeys::key_bytes> bytes{};
    TicketKeys::Time since{};

    Key() = default;
    Key(const Key&) = default;
    Key& operator=(const Key&) = default;
    ~Key() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

    const unsigned char* name() const noexcept { return bytes.data(); }
    const unsigned char* hmac() const noexcept { return bytes.data() + 16; }
    const unsigned char* aes() const noexcept { return bytes.data() + 48; }
};

std::optional<Key> random_key(TicketKeys::Time now) noexcept {
    Key key;
    key.since = now;
    if (RAND_priv_bytes(key.bytes.data(), static_cast<int>(key.bytes.size())) != 1) return std::nullopt;
    return key;
}

}  // namespace

struct TicketKeys::Ring {
    std::mutex mutex;
    std::vector<Key> keys;  // newest first; guarded by mutex

    void rotate(Time now, std::chrono::seconds rotation) {
        if (rotation.count() == 0 || now - keys.front().since < rotation) return;
        auto fresh = random_key(now);
        if (!fresh) return;  // the old one goes on: no ticket is worth a failed handshake
        keys.insert(keys.begin(), *fresh);
        // A key sealed its last ticket when the next one began.
        for (std::size_t i = 1; i < keys.size(); ++i)
            if (now - keys[i - 1].since >= ticket_life) {
                keys.resize(i);
                break;
            }
    }
};

namespace {

/// A context's share of the keys; owned by the context.
struct Attached {
    std::shared_ptr<TicketKeys::Ring> ring;
    std::chrono::seconds rotation;
};

void free_attached(void*, void* attached, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<Attached*>(attached);
}

int attached_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_attached);
    return index;
}

bool use(const Key& key, EVP_MAC_CTX* mac) {
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.hmac()), 32),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

/// OpenSSL's contract: -1 error, 0 no such key, 1 fine, 2 fine and time for a new ticket.
int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int sealing) {
    const auto* attached = static_cast<Attached*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), attached_index()));
    if (!attached) return -1;
    Key key;
    bool newest = true;
    try {
        const std::lock_guard lock{attached->ring->mutex};
        auto& keys = attached->ring->keys;
        attached->ring->rotate(std::chrono::steady_clock::now(), attached->rotation);
        const auto found = sealing ? keys.begin() : std::find_if(keys.begin(), keys.end(), [&](const Key& known) {
            return std::memcmp(known.name(), name, 16) == 0;
        });
        if (found == keys.end()) return 0;
        newest = found == keys.begin();
        key = *found;
    } catch (const std::bad_alloc&) {
        return -1;
    }
    if (sealing) {
        std::memcpy(name, key.name(), 16);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
        if (EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.aes(), iv) != 1 || !use(key, mac)) return -1;
        return 1;
    }
    if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.aes(), iv) != 1 || !use(key, mac)) return -1;
    // A TLS 1.3 client uses a ticket once (RFC 8446 appendix C.4): without a new one, each second handshake is a full
    // one.
    return newest && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
}

}  // namespace

TicketKeys::TicketKeys() : ring_{std::make_shared<Ring>()} {
    auto key = random_key(std::chrono::steady_clock::now());
    if (!key) throw std::runtime_error{"no random bytes for session ticket keys"};
    ring_->keys.push_back(*key);
}

std::shared_ptr<const TicketKeys> TicketKeys::from_bytes(std::string_view bytes, std::string& error) {
    constexpr std::size_t most = 16;
    if (bytes.empty() || bytes.size() % key_bytes != 0 || bytes.size() / key_bytes > most) {
        error = "80 bytes for each of 1 to 16 keys, found " + std::to_string(bytes.size()) + " bytes";
        return nullptr;
    }
    // Random bytes are no text, but for one file in 10^33: this is a certificate, or a key in another form.
    const auto is_text = [](unsigned char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t'; };
    if (std::all_of(bytes.begin(), bytes.end(), is_text)) {
        error = "80 random bytes for each key, found text";
        return nullptr;
    }
    auto ring = std::make_shared<Ring>();
    for (std::size_t at = 0; at < bytes.size(); at += key_bytes) {
        Key key;
        std::memcpy(key.bytes.data(), bytes.data() + at, key_bytes);
        for (const Key& other : ring->keys)
            if (std::memcmp(other.name(), key.name(), 16) == 0) {
                error = "keys that differ in their first 16 bytes, found two alike";
                return nullptr;
            }
        ring->keys.push_back(key);
    }
    return std::shared_ptr<const TicketKeys>{new TicketKeys{std::move(ring)}};
}

void TicketKeys::attach(ssl_ctx_st* context, std::chrono::seconds rotation) const {
    auto attached = std::make_unique<Attached>(Attached{ring_, rotation});
    if (SSL_CTX_set_ex_data(context, attached_index(), attached.get()) != 1) throw std::bad_alloc{};
    [[maybe_unused]] auto* const owned_by_context = attached.release();
    SSL_CTX_set_timeout(context, ticket_life.count());
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, &on_ticket);
}

void TicketKeys::rotate(Time now, std::chrono::seconds rotation) const {
    const std::lock_guard lock{ring_->mutex};
    ring_->rotate(now, rotation);
}

std::size_t TicketKeys::count() const {
    const std::lock_guard lock{ring_->mutex};
    return ring_->keys.size();
}

}  // namespace nearhop::wire
