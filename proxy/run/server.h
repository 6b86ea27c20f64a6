#pragma once

#include "proxy/account/access_log.h"
#include "proxy/admin/server.h"
#include "proxy/control/control.h"
#include "proxy/control/memory_watch.h"
#include "proxy/run/worker.h"
#include "proxy/shared/registry.h"
#include "proxy/shared/snapshot.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace nearhop::run {

/// The running proxy: the control thread's loop, the workers, listeners, signals and the stages of stopping. The order
/// of the members is the order of ownership; destruction runs upwards.
class Server {
public:
    /// `first` comes from load() or build(). Throws std::runtime_error when the log cannot be opened.
    Server(shared::Snapshot first, const wire::TicketKeys& keys);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Called once when the listeners are open, on the control thread.
    void on_ready(std::function<void(const Server&)> then) { on_ready_ = std::move(then); }
    /// Runs until stopped by SIGTERM or SIGINT. 0 after an orderly end, 1 when a listener could not be opened.
    int run();

    /// "https" -> "127.0.0.1:8443"; of the first listener of each kind, and "admin".
    std::map<std::string, std::string> addresses() const { return addresses_; }

private:
    class Signals;
    loop::Task<> keep_reloading();
    loop::Task<> keep_reading_signals();
    loop::Task<> keep_stopping();
    void start_serving();
    bool open_admin();
    void prepare(const conf::Config& next, conf::Problems& problems);
    void look_whether_free(const conf::Config& next, conf::Problems& problems);
    bool open_missing(const conf::Config& next, conf::Problems& problems);
    void match_listeners();
    void look();
    void serve_on(const std::string& key, const conf::Listener& listener, std::size_t index);
    void on_signal(int number);
    void next_stage();
    void end();
    void look_for_sessions();
    void stop_all();
    /// The listeners are open, and will be for a while yet.
    bool accepts() const noexcept { return serving_ && stage_ <= Stage::grace; }
    std::shared_ptr<const client::ListenerFacts> facts_of(std::size_t index) const;
    void set_capacity(const conf::Config& next);
    const conf::Config& config() const { return control_->current().routing->config; }

    loop::Loop loop_;
    shared::Board board_;
    unsigned worker_count_;
    shared::Registry registry_;
    account::AccessLog log_;
    std::unique_ptr<control::Control> control_;
    std::unique_ptr<admin::AdminServer> admin_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::shared_ptr<Signals> signals_;
    std::unique_ptr<control::MemoryWatch> memory_;
    /// By key "https 0.0.0.0:443"; with the kernel's port.
    std::map<std::string, conf::ListenAddress> open_;
    struct Opened {
        conf::ListenAddress address;
        std::vector<int> descriptors{};  ///< one for each worker
    };
    std::map<std::string, Opened> opened_;  ///< by key; not served yet
    std::map<std::string, std::string> addresses_;
    std::function<void(const Server&)> on_ready_;
    enum class Stage : std::uint8_t { running, grace, draining, ending, stopped } stage_ = Stage::running;
    loop::TimePoint stage_ends_{};
    bool serving_ = false;
    int exit_code_ = 0;
    bool reload_asked_ = false;  ///< by a signal
    loop::Wake reload_wake_{loop_};
    loop::Task<> reloading_, hearing_, stopping_;  // last: they end before what they use
};

/// Raises the soft descriptor limit to the hard one; returns the limit in force.
std::uint64_t raise_descriptor_limit();

/// Blocks the signals that the server handles, before any thread starts.
void block_signals();

}  // namespace nearhop::run
