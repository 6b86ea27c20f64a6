#include "proxy/run/server.h"

#include "proxy/account/logging.h"
#include "proxy/loop/keeper.h"
#include "proxy/loop/pause.h"
#include "proxy/run/notify.h"
#include "proxy/setup/listener_key.h"
#include "proxy/setup/memory_limit.h"
#include "proxy/shared/failures.h"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <algorithm>
#include <csignal>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace nearhop::run {
namespace {

namespace asio = boost::asio;

constexpr loop::milliseconds between_looks{20};   // whether the last session has gone
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

/// Signals as bytes of a descriptor; block_signals() has kept them from everyone else. docs/decisions.md says why not
/// asio::signal_set.
class Server::Signals final : public loop::Operations {
public:
    explicit Signals(loop::Loop& loop) : Operations{loop}, descriptor_{loop.context()} {
        const sigset_t set = handled_signals();
        descriptor_.assign(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    }
    /// The next one; 0: there are no more.
    loop::Task<int> next() {
        const auto got = co_await descriptor_.async_read_some(asio::buffer(&got_, sizeof got_), token());
        co_return got.bytes == sizeof got_ ? static_cast<int>(got_.ssi_signo) : 0;
    }
    void cancel() noexcept override {
        boost::system::error_code ignored;
        descriptor_.close(ignored);
    }

private:
    asio::posix::stream_descriptor descriptor_;
    signalfd_siginfo got_{};
};

Server::Server(shared::Snapshot first, const wire::TicketKeys& keys)
    : worker_count_{worker_count(first.routing->config)},
      registry_{worker_count_},
      log_{first.routing->config.log, registry_.all_workers(), registry_.log_write_dropped} {
    control_ = std::make_unique<control::Control>(loop_, board_, registry_, std::move(first), keys);
    admin_ = std::make_unique<admin::AdminServer>(loop_, *control_, board_, registry_);
    for (unsigned index = 0; index < worker_count_; ++index)
        workers_.push_back(std::make_unique<Worker>(index, board_, registry_, *control_, log_));
    signals_ = std::make_shared<Signals>(loop_);
    registry_.capacity.prepare(*config().limits.addresses);
    registry_.pins.prepare(*config().failover.idempotency_keys);
    set_capacity(config());
    memory_ = std::make_unique<control::MemoryWatch>(loop_, registry_.capacity);
}

Server::~Server() {
    hearing_ = {};
    signals_->cancel();
    stop_all();
}

int Server::run() {
    if (!open_admin()) return 1;
    for (const auto& worker : workers_) worker->start();
    control_->before_reload([this](const conf::Config& next, conf::Problems& problems) {
        prepare(next, problems);
        if (!conf::has_errors(problems)) set_capacity(next);  // before workers see the change
    });
    control_->on_reload([this] {
        account::set_log_level(config().log.level);
        if (accepts()) match_listeners();
        look();
    });
    control_->on_new_files([this] { look(); });
    loop_.on_failure(shared::noting(registry_, account::Duty::mail));
    reloading_ =
        loop::keep(loop_, [this] { return keep_reloading(); }, shared::noting(registry_, account::Duty::reload));
    reloading_.start();
    hearing_ =
        loop::keep(loop_, [this] { return keep_reading_signals(); }, shared::noting(registry_, account::Duty::signals));
    hearing_.start();
    control_->start([this] { start_serving(); });
    loop_.run();
    stop_all();
    return exit_code_;
}

/// The first round of probes is over: the first answers can be right, so the listeners open. Where that is not possible
/// the process ends.
void Server::start_serving() {
    if (stage_ != Stage::running) return;
    struct EndUnless {
        Server& server;
        ~EndUnless() {
            if (server.serving_) return;
            server.exit_code_ = 1;
            server.loop_.stop();
        }
    } const end_unless{*this};
    conf::Problems problems;
    if (!open_missing(config(), problems)) return;  // each has its line in the log
    match_listeners();
    serving_ = true;
    control_->set_ready(true);
    notify_ready();
    account::log_info("ready", {{"workers", worker_count_}});
    if (on_ready_) on_ready_(*this);
}

bool Server::open_admin() {
    const auto& admin = config().admin;
    if (!admin.listen) return true;
    std::string error;
    if (!admin_->open(admin, error)) {
        account::log_error("listen_failed", {{"listener", "admin"}, {"what", error}});
        return false;
    }
    addresses_["admin"] = admin_->address();
    account::log_info("listening", {{"listener", "admin"}, {"address", admin_->address()}});
    return true;
}

/// Replaced parts are freed when their last user is gone, and an idle worker does not ask for the new ones by itself.
void Server::look() {
    for (const auto& worker : workers_) worker->look();
}

/// The limits of the process: as configured, or what the descriptors and the machine allow. Half of the descriptors are
/// for clients and half for origins, after a reserve for probes, admin, logs and databases.
void Server::set_capacity(const conf::Config& next) {
    const auto& limits = next.limits;
    registry_.set_most_rows(limits.counter_rows);
    for (const auto& origin : next.origins) registry_.load(origin.name)->set(origin.capacity, next.failover.queue);
    registry_.capacity.set_rates(next.sites, loop_.now().time_since_epoch());
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const std::uint64_t reserve =
        64 + next.origins.size() * 4 + worker_count_ * (2 + std::uint64_t{next.listeners.size()});
    const std::uint64_t free = limit.rlim_cur > 2 * reserve ? limit.rlim_cur - reserve : limit.rlim_cur / 2;
    const auto or_half = [&](std::uint64_t configured) {
        return configured != 0 ? configured : std::max<std::uint64_t>(1, free / 2);
    };
    registry_.capacity.set({.sessions = or_half(limits.sessions),
                            .sessions_per_address = limits.sessions_per_address,
                            .requests = or_half(limits.requests),
                            .handshakes = limits.handshakes,
                            .descriptors = free,
                            .memory = setup::memory_limit(limits),
                            .handshakes_per_second = limits.handshakes_per_second});
}

/// What a signal asks for; several that come while one is under way ask for one more.
loop::Task<> Server::keep_reloading() {
    for (;;) {
        while (!reload_asked_) co_await reload_wake_.wait();
        reload_asked_ = false;
        // READY=1 is the end of a reload, but before the listeners are open, or once it stops, it would be a lie.
        const auto tells = [this] { return serving_ && stage_ == Stage::running; };
        const bool told = tells() && notify_reloading();
        struct Ready {
            bool due;
            decltype(tells)& still;
            ~Ready() {
                if (due && still()) notify_ready();
            }
        } const ready{told, tells};
        co_await control_->reload();
    }
}

loop::Task<> Server::keep_reading_signals() {
    while (const int number = co_await signals_->next()) try {
            on_signal(number);
        } catch (const std::exception& error) {
            shared::note_failure(registry_, account::Duty::signals, error);
        }
}

void Server::on_signal(int number) {
    switch (number) {
        case SIGHUP:
            reload_asked_ = true;
            reload_wake_.notify();
            break;
        case SIGUSR1: log_.reopen(); break;
        default:
            account::log_info("stopping", {{"signal", number}, {"at_once", stage_ != Stage::running}});
            stage_ == Stage::running ? next_stage() : end();
    }
}

/// Not ready but accepting, then draining, then ending what is left, then gone.
void Server::next_stage() {
    const auto& shutdown = config().shutdown;
    switch (stage_) {
        case Stage::running:
            stage_ = Stage::grace;
            notify_stopping();
            control_->set_ready(false);
            for (const auto& worker : workers_) worker->close_after_responses();
            stage_ends_ = loop_.now() + (serving_ ? shutdown.grace : conf::milliseconds{0});
            break;
        case Stage::grace:
            stage_ = Stage::draining;
            open_.clear();
            for (const auto& worker : workers_) worker->drain();
            stage_ends_ = loop_.now() + shutdown.drain;
            account::log_info("draining");
            break;
        case Stage::draining: return end();
        case Stage::ending:
        case Stage::stopped:
            stage_ = Stage::stopped;
            loop_.stop();
            return;
    }
    if (!stopping_.done()) return;
    stopping_ =
        loop::keep(loop_, [this] { return keep_stopping(); }, shared::noting(registry_, account::Duty::signals));
    stopping_.start();
}

/// Ends a stage of the shutdown, or looks whether the last session has gone.
loop::Task<> Server::keep_stopping() {
    const auto pause = std::make_shared<loop::Pause>(loop_);
    while (stage_ != Stage::stopped) {
        co_await pause->wait(between_looks);
        look_for_sessions();
    }
}

/// What still waits is answered 503, what is being answered is cut. Over in a moment, also where another signal comes.
void Server::end() {
    if (stage_ == Stage::ending || stage_ == Stage::stopped) return;
    stage_ = Stage::ending;
    for (const auto& worker : workers_) worker->end();
    stage_ends_ = loop_.now() + last_answers;
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
}

void Server::stop_all() {
    admin_->close();
    workers_.clear();  // joins; their last access lines are in the log's rings
}

}  // namespace nearhop::run
