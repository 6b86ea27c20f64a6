#include "proxy/run/server.h"

#include "proxy/run/listener_key.h"
#include "proxy/run/logging.h"
#include "proxy/run/notify.h"

#include <algorithm>
#include <csignal>
#include <set>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace nearhop::run {
namespace {

constexpr loop::milliseconds last_answers{1000};  // for those to leave that the end of the drain makes

sigset_t handled_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
    return set;
}

unsigned worker_count(const conf::Config& config) {
    return *config.workers != 0 ? *config.workers : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

std::uint64_t raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    const auto before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return before;
    return limit.rlim_cur;
}

void block_signals() {
    const sigset_t set = handled_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

/// Signals as events of the control loop; block_signals() has kept them from everyone else.
class Server::Signals final : public loop::Watch {
public:
    explicit Signals(Server& server) : server_{server} {
        const sigset_t set = handled_signals();
        descriptor_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        server_.loop_.watch(descriptor_, EPOLLIN, *this);
    }
    ~Signals() {
        server_.loop_.unwatch(descriptor_, *this);
        ::close(descriptor_);
    }
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

private:
    void on_events(std::uint32_t) noexcept override {
        signalfd_siginfo got{};
        while (::read(descriptor_, &got, sizeof got) == static_cast<ssize_t>(sizeof got))
            server_.on_signal(static_cast<int>(got.ssi_signo));
    }
    Server& server_;
    int descriptor_ = -1;
};

/// Ends a stage of the shutdown, or looks whether the last session has gone.
class Server::StageTimer final : private loop::Notify {
public:
    explicit StageTimer(Server& server) : server_{server}, timer_{server.loop_, *this} {}
    void after(loop::milliseconds wait) { timer_.expires_after(wait); }

private:
    void notify() noexcept override {
        timer_.clear();
        server_.look_for_sessions();
    }
    Server& server_;
    loop::Timer timer_;
};

Server::Server(Snapshot first, const wire::TicketKeys& keys)
    : worker_count_{worker_count(first.routing->config)},
      registry_{worker_count_},
      log_{first.routing->config.log, registry_} {
    control_ = std::make_unique<Control>(loop_, board_, registry_, std::move(first), keys);
    admin_ = std::make_unique<admin::AdminServer>(loop_, *control_, board_, registry_);
    for (unsigned index = 0; index < worker_count_; ++index)
        workers_.push_back(std::make_unique<Worker>(index, board_, registry_, *control_, log_));
    signals_ = std::make_unique<Signals>(*this);
    stage_timer_ = std::make_unique<StageTimer>(*this);
    registry_.capacity.prepare(*config().limits.addresses);
    registry_.pins.prepare(*config().failover.idempotency_keys);
    set_capacity();
    memory_ = std::make_unique<MemoryWatch>(loop_, registry_.capacity);
}

Server::~Server() { stop_all(); }

int Server::run() {
    if (!open_admin()) return 1;
    for (const auto& worker : workers_) worker->start();
    control_->before_reload(
        [this](const conf::Config& next, conf::Problems& problems) { open_missing(next, problems); });
    control_->on_reload([this] {
        set_log_level(config().log.level);
        set_capacity();
        match_listeners();
    });
    control_->start([this] { start_serving(); });
    loop_.run();
    stop_all();
    return exit_code_;
}

/// The first round of probes is over: the first answers can be right, so the listeners open.
void Server::start_serving() {
    if (stage_ != Stage::running) return;
    conf::Problems problems;
    if (!open_missing(config(), problems)) {  // each has its line in the log
        exit_code_ = 1;
        loop_.stop();
        return;
    }
    match_listeners();
    serving_ = true;
    control_->set_ready(true);
    notify_ready();
    log_info("ready", {{"workers", worker_count_}});
    if (on_ready_) on_ready_(*this);
}

bool Server::open_admin() {
    const auto& admin = config().admin;
    if (!admin.listen) return true;
    std::string error;
    if (!admin_->open(admin, error)) {
        log_error("listen_failed", {{"listener", "admin"}, {"what", error}});
        return false;
    }
    addresses_["admin"] = admin_->address();
    log_info("listening", {{"listener", "admin"}, {"address", admin_->address()}});
    return true;
}

/// Opens what `next` names and nobody serves yet: all of it, or nothing and a problem for each that cannot be opened.
bool Server::open_missing(const conf::Config& next, conf::Problems& problems) {
    bool all = true;
    const auto& listeners = next.listeners;
    for (std::size_t index = 0; index < listeners.size(); ++index) {
        const auto key = key_of(listeners, index);
        if (open_.contains(key)) continue;
        const auto& listener = listeners[index];
        auto& opened = opened_[key] = {*listener.address};
        std::string error;
        // At start only: after a reload a worker may not have closed its old socket yet.
        if (!serving_ && opened.address.port != 0 && client::in_use(opened.address))
            error = text_of(opened.address) + ": address already in use";
        while (error.empty() && opened.descriptors.size() < workers_.size()) {
            const int descriptor = client::open_listener(opened.address, error);
            if (descriptor >= 0) opened.descriptors.push_back(descriptor);
        }
        if (error.empty()) continue;
        all = false;
        log_error("listen_failed", {{"listener", name(listener.kind)}, {"what", error}});
        problems.push_back({conf::Severity::error, listener.address.mark, listener.address.path,
                            "want an address to listen on, found " + error});
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
        const auto key = key_of(listeners, index);
        wanted.insert(key);
        if (!open_.contains(key)) serve_on(key, listeners[index], index);
    }
    // Now that all ports are known, those that redirect know where to.
    for (std::size_t index = 0; index < listeners.size(); ++index)
        for (const auto& worker : workers_) worker->update(key_of(listeners, index), facts_of(index));
    std::erase_if(open_, [&](const auto& open) {
        if (wanted.contains(open.first)) return false;
        for (const auto& worker : workers_) worker->stop_listening(open.first);
        log_info("listener_closed", {{"address", text_of(open.second)}});
        return true;
    });
}

void Server::serve_on(const std::string& key, const conf::Listener& listener, std::size_t index) {
    const auto opened = std::move(opened_.extract(key).mapped());
    open_[key] = opened.address;
    const auto facts = facts_of(index);
    for (std::size_t i = 0; i < workers_.size(); ++i) workers_[i]->listen(key, opened.descriptors[i], facts);
    addresses_.emplace(name(listener.kind), text_of(opened.address));
    log_info("listening", {{"listener", name(listener.kind)}, {"address", text_of(opened.address)}});
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
        if (const auto open = open_.find(key_of(listeners, other));
            open != open_.end() && listeners[other].kind == conf::ListenerKind::https)
            facts->https_port = open->second.port;
    return facts;
}

/// The limits of the process: as configured, or what the descriptors and the machine allow. Half of the descriptors are
/// for clients and half for origins, after a reserve for probes, admin, logs and databases.
void Server::set_capacity() {
    const auto& limits = config().limits;
    for (const auto& origin : config().origins)
        registry_.load(origin.name).set(origin.capacity, config().failover.queue);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const std::uint64_t reserve =
        64 + config().origins.size() * 4 + worker_count_ * (2 + std::uint64_t{config().listeners.size()});
    const std::uint64_t free = limit.rlim_cur > 2 * reserve ? limit.rlim_cur - reserve : limit.rlim_cur / 2;
    const auto or_half = [&](std::uint64_t configured) {
        return configured != 0 ? configured : std::max<std::uint64_t>(1, free / 2);
    };
    registry_.capacity.set({.sessions = or_half(limits.sessions),
                            .sessions_per_address = limits.sessions_per_address,
                            .requests = or_half(limits.requests),
                            .handshakes = limits.handshakes,
                            .descriptors = free,
                            .memory = limits.memory != 0 ? limits.memory : available_memory() / 10 * 8,
                            .handshake_rate = exchange::Pace::of(limits.handshakes_per_second, std::chrono::seconds{1},
                                                                 limits.handshakes_per_second)});
}

void Server::on_signal(int number) {
    switch (number) {
        case SIGHUP:
            notify_reloading();
            control_->reload();
            notify_ready();
            break;
        case SIGUSR1: log_.reopen(); break;
        default:
            log_info("stopping", {{"signal", number}});
            if (stage_ != Stage::ending)
                next_stage();  // that one is over in a moment, and clients wait for its answers
    }
}

/// Not ready but accepting, then draining, then ending what is left, then gone. A second signal goes on to the next
/// stage at once.
void Server::next_stage() {
    const auto& shutdown = config().shutdown;
    switch (stage_) {
        case Stage::running:
            stage_ = Stage::grace;
            notify_stopping();
            control_->set_ready(false);
            for (const auto& worker : workers_) worker->close_after_responses();
            stage_ends_ = loop_.now() + shutdown.grace;
            break;
        case Stage::grace:
            stage_ = Stage::draining;
            open_.clear();
            for (const auto& worker : workers_) worker->drain();
            stage_ends_ = loop_.now() + shutdown.drain;
            log_info("draining");
            break;
        case Stage::draining:
            stage_ = Stage::ending;
            for (const auto& worker : workers_) worker->end();
            stage_ends_ = loop_.now() + last_answers;
            break;
        case Stage::ending:
        case Stage::stopped:
            stage_ = Stage::stopped;
            loop_.stop();
            return;
    }
    stage_timer_->after(loop::milliseconds{20});
}

void Server::look_for_sessions() {
    if (loop_.now() >= stage_ends_) return next_stage();
    const bool idle =
        std::all_of(workers_.begin(), workers_.end(), [](const auto& worker) { return worker->sessions() == 0; });
    // A worker that has not yet seen drain() may still have somebody in its accept queue: one more look.
    const bool drained =
        stage_ == Stage::draining && loop_.now() >= stage_ends_ - config().shutdown.drain + loop::milliseconds{100};
    if (idle && (drained || stage_ == Stage::ending)) {
        stage_ = Stage::ending;  // with nobody to wait for
        return next_stage();
    }
    stage_timer_->after(loop::milliseconds{20});
}

void Server::stop_all() {
    admin_->close();
    workers_.clear();  // joins; their last access lines are in the log's rings
}

}  // namespace nearhop::run
