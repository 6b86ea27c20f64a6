#pragma once

#include "proxy/loop/loop.h"

#include <cstddef>
#include <cstdint>

struct iovec;

namespace nearhop::loop {

enum class Io : std::uint8_t {
    ok,       ///< bytes moved
    blocked,  ///< nothing now; a notification follows when that changes
    closed,   ///< the peer sent its end (reading only)
    failed,   ///< errno has the cause; the socket is unusable
};

struct IoResult {
    Io io = Io::blocked;
    std::size_t bytes = 0;
    int error = 0;
};

/// A connected (or connecting) non-blocking TCP socket on one loop. Owns the descriptor.
///
/// Readiness is remembered from edge-triggered events, so a read that came back short is not followed by one that
/// only says EAGAIN: one receive per wake-up (epoll(7): a short read means the edge is used up).
class Socket final : public Watch {
public:
    Socket() noexcept = default;
    /// Takes over `descriptor`. With `connecting`, writability is watched from the start.
    Socket(Loop& owner, int descriptor, Notify& notify, bool connecting = false) noexcept;
    ~Socket() { close(); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    void open(Loop& owner, int descriptor, Notify& notify, bool connecting) noexcept;
    bool is_open() const noexcept { return descriptor_ >= 0; }
    int descriptor() const noexcept { return descriptor_; }
    void notify_to(Notify& notify) noexcept { notify_ = &notify; }

    IoResult read(void* into, std::size_t room) noexcept;
    IoResult write(const iovec* parts, int count) noexcept;

    /// The peer has closed its sending side or the connection broke; unread bytes may still be there.
    bool hung_up() const noexcept { return hung_up_; }
    /// Both directions are gone (reset, or both sides closed).
    bool broken() const noexcept { return broken_; }
    bool maybe_readable() const noexcept { return readable_; }
    /// Makes the next batch notify again if there is something to read: for a reader that stops before the end.
    void notify_again() noexcept;
    /// After connect(): pending, or done with 0 or an errno.
    struct Connected {
        bool pending;
        int error;
    };
    Connected connected() noexcept;

    /// What became of the sent bytes, as the kernel knows: one system call, not for the request path.
    enum class Delivery : std::uint8_t {
        acknowledged,  ///< the peer's kernel has them all
        unanswered,    ///< it had them, but does not answer a keep-alive yet
        under_way,
        lost,  ///< sent, or, once acknowledged, asked for, three times in vain; may have arrived anyway
    };
    Delivery delivery() const noexcept;
    /// Whether what was sent on a connected TCP socket is `lost` in that sense.
    static bool is_lost(int descriptor) noexcept;
    /// Sent bytes that the peer's system has not acknowledged; also a system call.
    std::size_t unacknowledged() const noexcept;
    static constexpr milliseconds patience{200};    ///< before the first look: the kernel's before it sends again
    static constexpr milliseconds look_again{100};  ///< and how often from then on
    /// Turns on keep-alives: the kernel sends one after each second without a packet from the peer.
    void ask_path(bool on) noexcept;

    void shutdown_write() noexcept;
    /// Closes so that the peer sees a reset instead of an orderly end.
    void reset() noexcept;
    void close() noexcept;

    void on_events(std::uint32_t events) noexcept override;

private:
    Loop* loop_ = nullptr;
    Notify* notify_ = nullptr;
    int descriptor_ = -1;
    bool readable_ = false;
    bool writable_ = true;
    bool watching_writes_ = false;
    bool hung_up_ = false;
    bool broken_ = false;
    TimePoint asked_at_{};  ///< since when ask_path() is on
};

}  // namespace nearhop::loop
