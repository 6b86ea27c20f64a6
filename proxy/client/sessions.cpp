#include "proxy/client/sessions.h"

#include <new>
#include <unistd.h>
#include <utility>

namespace nearhop::client {

using account::Refusal;

bool Sessions::open(std::shared_ptr<const ListenerFacts> listener, int descriptor, const Party& peer) {
    context_.counters.sessions_opened.add();
    const auto& snapshot = *context_.snapshot();
    const bool announced = announces_clients(snapshot, *listener, peer.address);
    const bool secure = listener->kind == conf::ListenerKind::https;
    const Refusal why = context_.capacity.begin_session(peer.address, announced || is_trusted(snapshot, peer.address),
                                                        secure, context_.loop.now().time_since_epoch());
    if (why != Refusal::none) {
        ::close(descriptor);
        context_.counters.sessions_closed.add();
        context_.counters.sessions_refused[static_cast<std::size_t>(why)].add();
        return false;
    }
    // Once each session is in these at most: its end, and what it sends, must not need memory that is not there.
    const auto make_room = [this](auto& list) {
        if (list.capacity() <= sessions_.size()) list.reserve(2 * sessions_.size() + 16);
    };
    try {
        make_room(to_send_);
        make_room(sending_);
        make_room(finished_);
        sessions_.emplace_front(*this, context_, std::move(listener), descriptor, peer);
    } catch (const std::bad_alloc&) {
        ::close(descriptor);
        context_.counters.sessions_closed.add();
        context_.capacity.end_session();
        if (secure) context_.capacity.end_handshake();
        throw;
    }
    auto& session = sessions_.front();
    if (!announced) session.held_ = context_.capacity.hold(peer.address, shared::AddressCounts::What::session);
    session.place_ = sessions_.begin();
    session.start();
    return true;
}

void Sessions::drain() noexcept {
    draining_ = true;
    for (auto& session : sessions_) session.drain();
}

void Sessions::close_after_responses() noexcept {
    draining_ = true;
    for (auto& session : sessions_) session.announce_end();
}

void Sessions::end() noexcept {
    for (auto& session : sessions_) session.end();
}

void Sessions::cut() noexcept {
    for (auto& session : sessions_) session.cut();
    sessions_.clear();
}

/// Whatever is asked for meanwhile waits for the next batch.
void Sessions::flush() noexcept {
    sending_.swap(to_send_);
    for (auto* session : sending_) session->send_http2();
    sending_.clear();
}

void Sessions::forget(Session& session) noexcept { std::erase(to_send_, &session); }

void Sessions::sweep() noexcept {
    for (const auto place : finished_) sessions_.erase(place);
    finished_.clear();
}

}  // namespace nearhop::client
