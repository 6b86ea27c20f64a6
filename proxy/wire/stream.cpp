#include "proxy/wire/stream.h"

#include "proxy/wire/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <sys/uio.h>

namespace nearhop::wire {

void SslDelete::operator()(ssl_st* ssl) const noexcept { SSL_free(ssl); }
void SslDelete::operator()(ssl_ctx_st* context) const noexcept { SSL_CTX_free(context); }
void SslDelete::operator()(ssl_session_st* session) const noexcept { SSL_SESSION_free(session); }
void SslDelete::operator()(x509_st* certificate) const noexcept { X509_free(certificate); }
void SslDelete::operator()(evp_pkey_st* key) const noexcept { EVP_PKEY_free(key); }

std::string TlsFailure::text() const {
    if (certificate) return X509_verify_cert_error_string(verify_result);
    if (error == 0) return "closed during the handshake";
    const char* reason = ERR_reason_error_string(error);
    return reason ? reason : "TLS error";
}

bool TlsFailure::is_refusal() const noexcept {
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) return false;
    switch (ERR_GET_REASON(error)) {  // the alerts of RFC 8446 section 6.2 that are about negotiation and certificates
        case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
        case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
        default: return false;
    }
}

bool is_expired(const x509_st* certificate) noexcept {
    return certificate && X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

/// OpenSSL's view of our buffers. The BIO method is made once; each BIO's data is its Stream.
struct TlsBio {
    static int write(BIO* bio, const char* bytes, int count) {
        auto* stream = static_cast<Stream*>(BIO_get_data(bio));
        try {
            stream->out_.append({bytes, static_cast<std::size_t>(count)});
        } catch (const std::bad_alloc&) {
            return -1;
        }
        return count;
    }
    static int read(BIO* bio, char* into, int room) {
        auto* stream = static_cast<Stream*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        Buffer& cipher = stream->cipher_in_;
        if (cipher.empty()) {
            if (stream->ended_) return 0;
            BIO_set_retry_read(bio);
            return -1;
        }
        const auto count = std::min(cipher.size(), static_cast<std::size_t>(room));
        std::memcpy(into, cipher.data(), count);
        cipher.consume(count);
        return static_cast<int>(count);
    }
    static long control(BIO* bio, int command, long, void*) {
        if (command == BIO_CTRL_EOF) return static_cast<Stream*>(BIO_get_data(bio))->ended_ ? 1 : 0;
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }
    static BIO_METHOD* method() {
        static BIO_METHOD* const made = [] {
            BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nearhop");
            BIO_meth_set_write(fresh, &TlsBio::write);
            BIO_meth_set_read(fresh, &TlsBio::read);
            BIO_meth_set_ctrl(fresh, &TlsBio::control);
            return fresh;
        }();
        return made;
    }
};

/// Ciphertext of a bulk body, decrypted while it is in the cache: uploads cost 0.56 of nginx with this, 0.71 with 63
/// KiB.
static constexpr std::size_t bulk_records = 48 * 1024;

/// A peer may send records without end that hold nothing for us (key updates, tickets): after so much of them others
/// have their turn.
static constexpr std::size_t void_share = 64 * 1024;

/// OpenSSL takes an error that an earlier call left in the thread's queue for one of the next call.
static void forget_errors() {
    if (ERR_peek_error() != 0) ERR_clear_error();
}

void initialise_tls() {
    OPENSSL_init_ssl(0, nullptr);
    TlsBio::method();
}

Stream::~Stream() {
    // OpenSSL declares a session unfit for resumption when its connection is freed without a shutdown.
    if (tls_ && SSL_is_init_finished(tls_.get()))
        SSL_set_shutdown(tls_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

void Stream::attach(ssl_st* ssl) {
    if (!ssl) throw std::bad_alloc{};
    tls_.reset(ssl);
    BIO* bio = BIO_new(TlsBio::method());
    if (!bio) throw std::bad_alloc{};
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    // What was received before TLS started (after a PROXY header) is its first ciphertext.
    cipher_in_.swap(in_);
}

void Stream::start_tls_server(ssl_ctx_st* context, ServerHandshake* facts) {
    attach(SSL_new(context));
    SSL_set_app_data(tls_.get(), facts);  // what the callbacks of tls_context.cpp look for
    SSL_set_accept_state(tls_.get());
}

bool Stream::speaks_http2() const noexcept {
    const unsigned char* chosen = nullptr;
    unsigned size = 0;
    if (tls_) SSL_get0_alpn_selected(tls_.get(), &chosen, &size);
    return size == 2 && std::memcmp(chosen, "h2", 2) == 0;
}

void Stream::start_tls_client(ssl_ctx_st* context, const std::string& name, bool name_is_address,
                              ssl_session_st* session) {
    attach(SSL_new(context));
    SSL_set_connect_state(tls_.get());
    if (!expect_server_name(tls_.get(), name, name_is_address)) throw std::bad_alloc{};
    // A resumed handshake shows no certificate: one that has expired since would go on for as long as its sessions do.
    if (session && !is_expired(SSL_SESSION_get0_peer(session))) SSL_set_session(tls_.get(), session);
}

Io Stream::receive(Buffer& into, std::size_t room) {
    char* const to = into.prepare(room);
    const auto result = socket_.read(to, bulk_ ? room : into.room());
    if (result.io == Io::ok) {
        into.commit(result.bytes);
        received += result.bytes;
        bulk_ = result.bytes >= 16 * 1024;
        starved_ = false;
    } else if (result.io == Io::closed) {
        ended_ = true;
    }
    return result.io;
}

Io Stream::handshake() {
    forget_errors();
    for (;;) {
        const int done = SSL_do_handshake(tls_.get());
        const int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(tls_.get(), done);
        if (why == SSL_ERROR_WANT_READ) {
            if (const Io sent_now = flush(); sent_now == Io::failed) return Io::failed;
            const Io got = receive(cipher_in_, 4 * 1024);
            if (got == Io::ok || got == Io::closed) continue;
            return got;
        }
        const Io sent_now = flush();
        if (done == 1) {
            cipher_in_.release();
            return sent_now == Io::failed ? Io::failed : Io::ok;
        }
        failure_.verify_result = SSL_get_verify_result(tls_.get());
        failure_.error = ERR_peek_last_error();
        failure_.certificate = failure_.verify_result != X509_V_OK;
        failed_ = true;
        ERR_clear_error();
        return Io::failed;
    }
}

/// TLS has failed. Our alert, if it was not the peer that told us, leaves now: the caller will close.
Io Stream::fail(bool grew) {
    failure_.error = ERR_peek_last_error();
    ERR_clear_error();
    failed_ = true;
    flush();
    return grew && SSL_is_server(tls_.get()) == 0 ? Io::ok : Io::failed;
}

Io Stream::decrypt(std::size_t limit) {
    if (failed_) return Io::failed;
    const std::size_t queued = out_.size();
    const Io result = read_records(limit);
    // Nobody else knows that there is something to send: it would wait for the next write.
    if (out_.size() != queued) flush();
    return result;
}

Io Stream::read_records(std::size_t limit) {
    forget_errors();
    // As in write(): growing record by record would copy what is there already.
    if (in_.empty() && cipher_in_.size() > 17 * 1024) in_.prepare(std::min(limit, cipher_in_.size()));
    bool grew = false;
    while (in_.size() < limit) {
        // Asking OpenSSL when it can have nothing only costs a failing read.
        const bool at_end = ended_ || (SSL_get_shutdown(tls_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
        if (cipher_in_.empty() && !at_end && (starved_ || !SSL_has_pending(tls_.get())))
            return grew ? Io::ok : Io::blocked;
        const std::size_t room = std::min(limit - in_.size(), std::size_t{16 * 1024});
        char* const to = in_.prepare(room);
        const int got = SSL_read(tls_.get(), to, static_cast<int>(std::min(in_.room(), limit - in_.size())));
        if (got > 0) {
            in_.commit(static_cast<std::size_t>(got));
            grew = true;
            continue;
        }
        const int why = SSL_get_error(tls_.get(), got);
        if (why == SSL_ERROR_WANT_READ) {
            starved_ = true;
            return grew ? Io::ok : Io::blocked;
        }
        if (why == SSL_ERROR_ZERO_RETURN && !ended_) close_notified_ = true;
        // A peer that closes without close_notify is common; whether the message was whole is for the framing to say.
        if (why != SSL_ERROR_ZERO_RETURN && !ended_) return fail(grew);
        ERR_clear_error();
        return grew ? Io::ok : Io::closed;  // the end is met again at the next call
    }
    return grew ? Io::ok : Io::blocked;
}

Io Stream::fill(std::size_t limit) {
    limit = std::min(limit, Buffer::largest - 1024);
    if (in_.size() >= limit) return Io::blocked;
    if (!tls_) {
        const std::size_t room = std::min(limit - in_.size(), bulk_ ? largest_write : std::size_t{16 * 1024});
        char* const to = in_.prepare(room);
        const auto result = socket_.read(to, bulk_ ? room : std::min(limit - in_.size(), in_.room()));
        if (result.io == Io::ok) {
            in_.commit(result.bytes);
            received += result.bytes;
            bulk_ = result.bytes >= 16 * 1024;
        } else if (result.io == Io::closed) {
            ended_ = true;
        }
        return result.io;
    }
    if (const Io had = decrypt(limit); had != Io::blocked) return had;
    for (;;) {
        if (void_ >= void_share) {
            void_ = 0;
            socket_.notify_again();
            return Io::blocked;
        }
        const auto held = in_.size();
        const auto came = received;
        const Io got = receive(cipher_in_, bulk_ ? bulk_records : 17 * 1024);
        if (got == Io::blocked) void_ = 0;
        if (got == Io::blocked || got == Io::failed) return got;
        const Io now = decrypt(limit);
        void_ += static_cast<std::size_t>(received - came);
        void_ -= std::min(void_, in_.size() - held);
        if (now == Io::blocked) continue;  // not yet a whole record: there may be more in the socket
        if (bulk_) cipher_in_.release();   // the next connection receives into the same block while it is hot
        return now;
    }
}

void Stream::write(std::string_view bytes) {
    if (!tls_) {
        out_.append(bytes);
        return;
    }
    if (failed_) return;  // flush() says so
    forget_errors();
    // A bulk body fills a whole block: growing into it record by record would copy it twice.
    if (bytes.size() > 16 * 1024 && out_.empty()) out_.prepare(largest_write + 4 * 1024);
    while (!bytes.empty()) {
        const int count = static_cast<int>(std::min(bytes.size(), std::size_t{64 * 1024}));
        const int written = SSL_write(tls_.get(), bytes.data(), count);
        if (written <= 0) {
            // Our BIO never blocks: this is a broken session. The next flush closes the socket.
            socket_.reset();
            return;
        }
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

std::size_t Stream::write_some(std::string_view bytes) {
    if (out_.size() >= high_water) return 0;
    if (tls_ || bytes.size() < 4 * 1024) {
        bytes = bytes.substr(0, largest_write);
        write(bytes);
        return bytes.size();
    }
    const iovec parts[2] = {{out_.data(), out_.size()}, {const_cast<char*>(bytes.data()), bytes.size()}};
    const bool queued = !out_.empty();
    const auto result = socket_.write(queued ? parts : parts + 1, queued ? 2 : 1);
    if (result.io != Io::ok) return 0;
    sent += result.bytes;
    const std::size_t from_queue = std::min(result.bytes, out_.size());
    out_.consume(from_queue);
    return result.bytes - from_queue;
}

Io Stream::flush() {
    if (!socket_.is_open()) return Io::failed;
    while (!out_.empty()) {
        const iovec part{out_.data(), out_.size()};
        const auto result = socket_.write(&part, 1);
        if (result.io != Io::ok) return result.io;
        sent += result.bytes;
        out_.consume(result.bytes);
    }
    out_.release();  // the next connection encrypts into the same block while it is hot in the cache
    return failed_ ? Io::failed : Io::ok;
}

void Stream::close_notify() {
    if (!tls_ || failed_ || !SSL_is_init_finished(tls_.get())) return;
    forget_errors();
    SSL_shutdown(tls_.get());
    forget_errors();
}

void Stream::release_buffers() noexcept {
    in_.release();
    cipher_in_.release();
    out_.release();
}

void Stream::release_all() noexcept {
    release_buffers();
    if (tls_) SSL_free_buffers(tls_.get());
}

}  // namespace nearhop::wire
