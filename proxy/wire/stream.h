#pragma once

#include "proxy/loop/socket.h"
#include "proxy/wire/buffer.h"
#include "proxy/wire/tls.h"

#include <string_view>

namespace nearhop::wire {

struct ServerHandshake;
using loop::Io;

/// A byte stream over TCP, with or without TLS. No call waits: each does what is possible now, and the socket's Notify
/// says when to call again.
///
/// TLS runs directly on OpenSSL over a BIO that reads from our receive buffer and appends to our send buffer: one
/// receive per wake-up, all records of a wake-up in one send.
class Stream {
public:
    /// Output from here on is sent before more is taken (back-pressure).
    static constexpr std::size_t high_water = 48 * 1024;

    /// Output below the mark takes this much at once, and a bulk read brings as much: with its four record frames it
    /// fits one packet of segmentation offload (64 KiB). Measured per GiB: 635 ms, against 706 with 40 KiB, 787 with
    /// 96 KiB and over 1,000 with just 64 KiB, where each send ends in a tiny second packet (bench/README.md).
    static constexpr std::size_t largest_write = 63 * 1024;

    Stream() noexcept = default;
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    loop::Socket& socket() noexcept { return socket_; }
    const loop::Socket& socket() const noexcept { return socket_; }

    /// Starts TLS as server or client on a connected socket. Throws std::bad_alloc only. For a client `name` is sent
    /// as SNI unless it is an IP literal and is always verified against the certificate; `session` may be null.
    void start_tls_server(ssl_ctx_st* context, ServerHandshake* facts = nullptr);
    void start_tls_client(ssl_ctx_st* context, const std::string& name, bool name_is_address, ssl_session_st* session);
    bool speaks_http2() const noexcept;  ///< agreed upon through ALPN (RFC 7301)
    bool is_tls() const noexcept { return tls_ != nullptr; }
    ssl_st* tls() const noexcept { return tls_.get(); }

    /// Continues the handshake and sends its output. ok: finished; blocked: call again when notified.
    Io handshake();
    /// The cause after handshake() or fill() returned `failed`.
    const TlsFailure& tls_failure() const noexcept { return failure_; }

    /// Decrypted (or plain) input that is not consumed yet.
    Buffer& in() noexcept { return in_; }
    /// Receives once and decrypts what came, up to `limit` bytes in in(). ok: in() grew. closed: an orderly end;
    /// a TLS peer that just closes the connection reads as closed too: framing decides whether that is a truncation.
    /// An alert that TLS produces leaves at once.
    ///
    /// failed: the connection broke, or TLS did. If we are the client, complete records before the broken one are read
    /// first: they may be a complete answer. If we are the server they are not: we could send no answer.
    Io fill(std::size_t limit);
    bool failed() const noexcept { return failed_; }  ///< TLS, in the handshake or later
    /// Nothing more can come: the peer has ended its side, or TLS has failed. Unread bytes may still be in in().
    bool over() const noexcept { return failed_ || ended_ || close_notified_; }
    /// After `closed`: whether it is an announced end (close_notify, or the end of plain TCP). A TLS peer without
    /// close_notify may have been cut off.
    bool ended_orderly() const noexcept { return !tls_ || close_notified_; }
    /// Grow reads for bulk bodies; ends by itself when reads come back small.
    bool bulk() const noexcept { return bulk_; }

    /// Queues (encrypts) all of `bytes`; the caller keeps unsent() below high_water.
    void write(std::string_view bytes);
    /// Like write, but may take less than all: what a plain socket takes at once is never copied.
    std::size_t write_some(std::string_view bytes);
    /// Sends the queued output. ok: all of it; blocked: some is left.
    Io flush();
    std::size_t unsent() const noexcept { return out_.size(); }
    /// Of `sent`, what the peer's system has acknowledged; a system call.
    std::uint64_t acknowledged() const noexcept { return sent - socket_.unacknowledged(); }
    /// Everything that was written has reached the peer's system.
    bool is_delivered() const noexcept { return out_.empty() && socket_.unacknowledged() == 0; }

    /// TLS close_notify, queued; flush() afterwards.
    void close_notify();
    /// Gives empty buffers back to the thread's free list: cheap, between two messages.
    void release_buffers() noexcept;
    /// OpenSSL's own record buffers as well, 34 KiB: for a connection that really idles. SSL_MODE_RELEASE_BUFFERS
    /// would do it after every record.
    void release_all() noexcept;

    std::uint64_t received = 0;  ///< bytes from the wire
    std::uint64_t sent = 0;      ///< bytes to the wire

private:
    friend struct TlsBio;
    Io receive(Buffer& into, std::size_t room);
    Io decrypt(std::size_t limit);
    Io read_records(std::size_t limit);
    Io fail(bool grew);
    void attach(ssl_st* ssl);

    loop::Socket socket_;
    Ssl tls_;
    Buffer in_;
    Buffer cipher_in_;  // TLS only: records as received
    Buffer out_;        // to the wire
    bool bulk_ = false;
    bool starved_ = false;  ///< OpenSSL holds no more than a part of a record
    bool ended_ = false;
    bool close_notified_ = false;
    bool failed_ = false;   ///< TLS, for good
    std::size_t void_ = 0;  ///< of the ciphertext since the socket was last empty: what held nothing for us
    TlsFailure failure_;
};

/// Once, before threads start.
void initialise_tls();

}  // namespace nearhop::wire
