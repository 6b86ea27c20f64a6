#pragma once

#include "proxy/admin/page.h"
#include "proxy/loop/background.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/loop/turn.h"

#include <cstddef>
#include <exception>
#include <list>
#include <memory>
#include <string>

namespace nearhop::admin {

/// The admin listener, on the control thread's loop: HTTP/1.1 with keep-alive, over TLS where admin.tls is there, small
/// requests only. A client that stalls costs one answer's memory and is gone after `patience`. Large pages are made by
/// a thread of their own, one at a time, and only so many are held for those who read them. Addresses and token of the
/// current configuration count.
class AdminServer {
public:
    static constexpr std::size_t most_sessions = 64;
    static constexpr std::size_t most_untrusted = 8;  ///< of these: not in admin.allow, so that each gets its 403
    static constexpr std::size_t head_bytes = 16 * 1024;
    static constexpr std::size_t body_bytes = 16 * 1024;
    /// For a head, for the taking of an answer, and between the two.
    loop::milliseconds patience{10'000};
    /// Bytes of large pages that are being read: who asks for one above that gets 503.
    std::size_t most_held = std::size_t{32} * 1024 * 1024;

    AdminServer(loop::Loop& loop, control::Control& control, const shared::Board& board, shared::Registry& registry);
    /// `registry` outlives the pages that are being made, for which the destructor waits.
    AdminServer(loop::Loop& loop, Process process, const shared::Board& board, const shared::Registry& registry);
    ~AdminServer();
    AdminServer(const AdminServer&) = delete;
    AdminServer& operator=(const AdminServer&) = delete;

    /// Listens at admin.listen, which must be set. False with `error` set when it cannot.
    bool open(const conf::Admin& admin, std::string& error);
    std::string address() const;  ///< "127.0.0.1:9180"; empty when closed
    /// Listener and sessions; also from within an answer, which is then not sent.
    void close();

    std::size_t sessions() const noexcept;

private:
    class Listener;
    struct Session;

    loop::Task<void> accept();
    loop::Task<void> reap();
    loop::Task<void> run(Session& session);
    loop::Task<void> serve(Session& session);
    loop::Task<Page> page_for(const Ask& ask, std::shared_ptr<const shared::Snapshot> snapshot, bool allowed);
    loop::Task<Page> large_page_for(std::string path, std::shared_ptr<const shared::Snapshot> snapshot);
    void failed(const std::exception& error) const noexcept;
    void admit();

    loop::Loop& loop_;
    Process process_;
    const shared::Board& board_;
    const shared::Registry& registry_;
    bool open_ = false;
    std::shared_ptr<Listener> listener_;
    loop::Task<void> accepting_;
    loop::Background pages_;
    loop::Turn page_turn_;
    std::size_t held_ = 0;  ///< bytes of large pages
    loop::Wake ended_;      ///< a session is over, or all of them
    std::list<std::unique_ptr<Session>> sessions_;
    loop::Task<void> reaper_;
};

}  // namespace nearhop::admin
