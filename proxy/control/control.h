#pragma once

#include "proxy/control/overrides.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/shared/registry.h"
#include "proxy/shared/reports.h"
#include "proxy/shared/snapshot.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nearhop::control {

/// The control thread's work: configuration and reload, DNS, probes, verdicts, geo databases, certificates. It alone
/// publishes snapshots. All members are called on its loop's thread, except where said otherwise.
class Control final : public shared::ReportSink {
public:
    struct ReloadResult {
        bool ok = false;
        conf::Problems problems;
    };

    /// `routing` and the rest of the first snapshot come from build() and are published at once (not ready).
    /// `keys` are the process's ticket keys: a reload makes contexts with the same ones.
    Control(loop::Loop& loop, shared::Board& board, shared::Registry& registry, shared::Snapshot first,
            const wire::TicketKeys& keys);
    ~Control();
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    /// Starts resolving and probing; `on_first_round` is called once, when every origin has had its first result or
    /// after 5 s, with the snapshot published.
    void start(std::function<void()> on_first_round);

    /// Any thread.
    void report(std::vector<shared::PassiveReport> reports) override;

    /// Reads the configuration file again and everything it names, on a thread of its own. On any error the old
    /// snapshot stays. One at a time: what is asked for meanwhile waits its turn. Dropping the Task is fine: then
    /// nothing changes.
    loop::Task<ReloadResult> reload();
    /// Called before a reload that nothing else speaks against takes effect: an error among the problems refuses it.
    void before_reload(std::function<void(const conf::Config&, conf::Problems&)> prepare);
    /// Called after each successful reload, with the new snapshot published.
    void on_reload(std::function<void()> then);
    /// Called after a changed file has been taken into use, with the new snapshot published.
    void on_new_files(std::function<void()> then);

    void set_ready(bool ready);

    struct OverrideResult {
        std::optional<OverrideRecord> record;  ///< what holds now; nullopt: there is no such origin, or it was cleared
        bool known_origin = false;
        bool saved = false;       ///< it outlives a restart
        std::string not_saved{};  ///< why not
        std::string overload{};   ///< why it was refused: the others could not carry what would be left to them
    };
    /// Holds from now on, whether it could be saved or not, unless it would overload the other origins and is not
    /// forced. Override::none clears. The texts were checked. Comes back once it is saved.
    loop::Task<OverrideResult> override_origin(OverrideOrder order);

    const shared::Snapshot& current() const noexcept;

    /// For metrics and /status; declared in proxy/control/status.h. Valid until the next call.
    struct Status;
    const Status& status();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace nearhop::control
