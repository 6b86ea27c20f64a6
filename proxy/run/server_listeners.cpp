#include "proxy/account/logging.h"
#include "proxy/run/server.h"
#include "proxy/setup/listener_key.h"

#include <set>
#include <unistd.h>
#include <utility>

/// The server's listeners: what a configuration names is opened, served and closed.
namespace nearhop::run {
namespace {

void refuse(const conf::Listener& listener, const std::string& error, conf::Problems& problems) {
    account::log_error("listen_failed", {{"listener", setup::name(listener.kind)}, {"what", error}});
    problems.push_back({conf::Severity::error, listener.address.mark, listener.address.path,
                        "want an address to listen on, found " + error});
}

}  // namespace

/// What a reload names has to be there before it takes effect. Before the first round of probes is over it only has to
/// be free, since no client is let in yet; once the edge drains, its successor may have it.
void Server::prepare(const conf::Config& next, conf::Problems& problems) {
    if (accepts())
        open_missing(next, problems);
    else if (stage_ == Stage::running)
        look_whether_free(next, problems);
}

void Server::look_whether_free(const conf::Config& next, conf::Problems& problems) {
    for (const auto& listener : next.listeners)
        if (const auto error = client::why_not_free(*listener.address); !error.empty())
            refuse(listener, error, problems);
}

/// Opens what `next` names and nobody serves yet: all of it, or nothing and a problem for each that cannot be opened.
bool Server::open_missing(const conf::Config& next, conf::Problems& problems) {
    bool all = true;
    const auto& listeners = next.listeners;
    for (std::size_t index = 0; index < listeners.size(); ++index) {
        const auto key = setup::key_of(listeners, index);
        if (open_.contains(key)) continue;
        const auto& listener = listeners[index];
        auto& opened = opened_[key] = {*listener.address};
        std::string error;
        // At start only: after a reload a worker may not have closed its old socket yet.
        if (!serving_) error = client::why_not_free(opened.address);
        while (error.empty() && opened.descriptors.size() < workers_.size()) {
            const int descriptor = client::open_listener(opened.address, error);
            if (descriptor >= 0) opened.descriptors.push_back(descriptor);
        }
        if (error.empty()) continue;
        all = false;
        refuse(listener, error, problems);
    }
    if (all) return true;
    for (const auto& [key, opened] : opened_)
        for (const int descriptor : opened.descriptors) ::close(descriptor);
    opened_.clear();
    return false;
}

/// Serves on the listeners that the configuration names, which are open by now, and closes the others; what stays keeps
/// its queue. Runs at start and after each reload.
void Server::match_listeners() {
    std::set<std::string> wanted;
    const auto& listeners = config().listeners;
    for (std::size_t index = 0; index < listeners.size(); ++index) {
        const auto key = setup::key_of(listeners, index);
        wanted.insert(key);
        if (!open_.contains(key)) serve_on(key, listeners[index], index);
    }
    // Now that all ports are known, those that redirect know where to.
    for (std::size_t index = 0; index < listeners.size(); ++index)
        for (const auto& worker : workers_) worker->update(setup::key_of(listeners, index), facts_of(index));
    std::erase_if(open_, [&](const auto& open) {
        if (wanted.contains(open.first)) return false;
        for (const auto& worker : workers_) worker->stop_listening(open.first);
        account::log_info("listener_closed", {{"address", setup::text_of(open.second)}});
        return true;
    });
}

void Server::serve_on(const std::string& key, const conf::Listener& listener, std::size_t index) {
    const auto opened = std::move(opened_.extract(key).mapped());
    open_[key] = opened.address;
    const auto facts = facts_of(index);
    for (std::size_t i = 0; i < workers_.size(); ++i) workers_[i]->listen(key, opened.descriptors[i], facts);
    addresses_.emplace(setup::name(listener.kind), setup::text_of(opened.address));
    account::log_info("listening",
                      {{"listener", setup::name(listener.kind)}, {"address", setup::text_of(opened.address)}});
}

std::shared_ptr<const client::ListenerFacts> Server::facts_of(std::size_t index) const {
    const auto& listeners = config().listeners;
    const auto& listener = listeners[index];
    auto facts = std::make_shared<client::ListenerFacts>();
    facts->rules = control_->current().routing->listeners[index];
    facts->kind = listener.kind;
    facts->plain = listener.plain;
    facts->ready_path = listener.ready_path;
    facts->min_version = listener.min_version;
    facts->ciphers = *listener.ciphers;
    facts->http2 = listener.http2;
    for (std::size_t other = listeners.size(); other-- > 0;)  // the first https listener is where redirects lead
        if (const auto open = open_.find(setup::key_of(listeners, other));
            open != open_.end() && listeners[other].kind == conf::ListenerKind::https)
            facts->https_port = open->second.port;
    if (listener.redirect_port != 0) facts->https_port = static_cast<std::uint16_t>(listener.redirect_port);
    return facts;
}

}  // namespace nearhop::run
