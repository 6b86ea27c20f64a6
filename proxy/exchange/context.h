#pragma once

#include "proxy/account/access_log.h"
#include "proxy/exchange/budget.h"
#include "proxy/exchange/dice.h"
#include "proxy/exchange/origin_times.h"
#include "proxy/loop/loop.h"
#include "proxy/origin/pool.h"
#include "proxy/shared/registry.h"
#include "proxy/shared/reports.h"
#include "proxy/shared/snapshot.h"
#include "proxy/wire/date.h"

#include <array>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace nearhop::exchange {

class Attempt;

/// Where one worker counts of one site, made when the first request needs it: with many sites, most workers meet few of
/// them, and of their origins one or two. Without memory for it, counts go where nobody looks.
class SiteCounting {
public:
    SiteCounting(shared::Registry& registry, unsigned worker, const std::string& site) noexcept
        : registry_{&registry}, worker_{worker}, site_{&site} {}
    account::SiteCounters* operator->() const noexcept { return counters_ ? counters_.get() : make(); }

private:
    account::SiteCounters* make() const noexcept;
    shared::Registry* registry_;
    unsigned worker_;
    const std::string* site_;
    mutable std::shared_ptr<account::SiteCounters> counters_;
};
class OriginCounting {
public:
    OriginCounting(shared::Registry& registry, unsigned worker, const std::string& site,
                   const std::vector<shared::OriginInfo>& origins) noexcept
        : registry_{&registry}, worker_{worker}, site_{&site}, origins_{&origins} {}
    account::OriginCounters* operator[](std::size_t id) const noexcept {
        return id < counters_.size() && counters_[id] ? counters_[id].get() : make(id);
    }

private:
    account::OriginCounters* make(std::size_t id) const noexcept;
    shared::Registry* registry_;
    unsigned worker_;
    const std::string* site_;
    const std::vector<shared::OriginInfo>* origins_;
    mutable std::vector<std::shared_ptr<account::OriginCounters>> counters_;  ///< by OriginId; empty: none yet
};

/// What one site needs on one worker beside the shared configuration.
struct SiteState {
    SiteCounting counters;
    OriginCounting origins;         ///< by OriginId
    steering::OriginSet limited{};  ///< those with a capacity: the others' loads are not looked at
    std::shared_ptr<RetryBudget> budget{};
    shared::Capacity::Rates rates{};
};

/// The worker's resolved view of one configuration: counters and pools by index, looked up once per change. An
/// exchange keeps the one that it began with.
struct Bound {
    std::shared_ptr<const shared::Routing> routing;
    std::vector<SiteState> sites;                      ///< by SiteId
    std::vector<std::shared_ptr<origin::Pool>> pools;  ///< by OriginId, as what follows
    std::vector<std::shared_ptr<OriginTimes>> times;
    std::vector<std::shared_ptr<shared::OriginLoad>> loads;
    std::vector<std::uint64_t> pin_ids;  ///< what Pins know origins by
};

/// Everything that the exchanges of one worker share. Lives as long as the worker's loop; never touched by another
/// thread, except where noted.
class Context {
public:
    Context(unsigned index, loop::Loop& loop, const shared::Board& board, shared::Registry& registry,
            shared::ReportSink& reports, account::AccessLog& log);

    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    loop::Loop& loop;
    account::WorkerCounters& counters;
    shared::Capacity& capacity;     ///< of the process, shared by all workers
    shared::Pins& pins;             ///< the same
    account::AccessLog::Lane* log;  ///< null when the access log is off
    Dice dice;
    /// Our Date field with its CRLF, for now.
    std::string_view date() noexcept { return date_.line(loop.now()); }

    /// The latest snapshot and, with it, the bound configuration. Cheap when nothing changed.
    const std::shared_ptr<const shared::Snapshot>& snapshot();
    const std::shared_ptr<const Bound>& bound();

    /// Origins that this worker passes over for a moment because a connection to them just failed or requests waited in
    /// vain, and those that are near their capacity.
    /// Origins on trial, and silent ones, are passed over too, but for one request at a time that tries them out.
    /// `may_try`: this request may be that one, for it can be moved on.
    steering::Local local(const Bound& bound, steering::SiteId site, bool may_try) noexcept;
    /// A request is sent to the origin. True: it tries it out, others wait for what it learns, at most a second.
    bool begin_trial(const Bound& bound, geo::OriginId origin) noexcept;
    void end_trial(const Bound& bound, geo::OriginId origin) noexcept {
        if (Moment* moment = moment_of(bound, origin)) moment->trial_until = {};
    }
    void skip(const Bound& bound, geo::OriginId origin, bool is_stalled = false) noexcept;
    /// Requests to the origin wait in vain: others go elsewhere for a moment, and the verdict machine gets a report.
    void stalled(const Bound& bound, geo::OriginId origin);

    /// Tells the control thread what an attempt said of its origin; sent after the current batch of events.
    void report(shared::PassiveReport report);
    void report_ok(const Bound& bound, geo::OriginId origin, bool trial);
    /// A dial succeeded: tells it when earlier ones to the same address had failed, so that scattered failures do not
    /// add up to an ejection.
    void report_dialled(const Bound& bound, geo::OriginId origin, const std::string& address);
    /// What an origin says of itself: told when it is news, and again once a second so that it does not expire.
    void report_agent(const Bound& bound, geo::OriginId origin, health::Agent word);
    /// A request that cannot be moved waits for long: the control thread probes the origin's addresses at once.
    void want_probe(const Bound& bound, geo::OriginId origin);
    void send_reports();

    /// Attempts are recycled: their vectors and buffers keep their capacity.
    std::unique_ptr<Attempt> fresh_attempt();
    void recycle(std::unique_ptr<Attempt> attempt) noexcept;

    /// A request begins or ends on this worker; the other workers see it in steps.
    void begin_request() noexcept {
        if (++in_flight_ - told_ >= static_cast<std::int64_t>(capacity.step())) tell_requests();
    }
    void end_request() noexcept {
        if (told_ - --in_flight_ >= static_cast<std::int64_t>(capacity.step())) tell_requests();
    }
    /// After each batch of events: closes idle origin connections when descriptors are short.
    void relieve() noexcept;

    /// The worker's last moments: what nobody has answered is answered 503, what is being answered is cut.
    void end() noexcept { ends_ = true; }
    bool ends() const noexcept { return ends_; }

    std::uint64_t replay_bytes = 0;  ///< held in replay buffers now
    unsigned index() const noexcept { return index_; }
    /// Idle origin connections are closed; for the end of the worker.
    void close_pools() noexcept;

private:
    void bind(const shared::Snapshot& latest);
    void forget_others() noexcept;

    /// What this worker found out about an origin a moment ago.
    struct Moment {
        loop::TimePoint skip_until{}, trial_until{};
        loop::TimePoint agent_told{};
        loop::TimePoint skipped_since{};  ///< health::State::since of what was published when it was skipped
        bool stalled = false;             ///< of one that is skipped
        bool silent = false;              ///< found silent; once it has answered this goes with the next look
    };
    /// Null: the origin is numbered by another configuration than the present one.
    Moment* moment_of(const Bound& bound, geo::OriginId origin) noexcept {
        return bound.routing == bound_->routing ? &moments_[origin] : nullptr;
    }
    const health::State& published(geo::OriginId origin) const noexcept;
    bool skips(const Moment& moment, geo::OriginId origin) const noexcept;
    bool is_silent(Moment& moment, const Silence& silence) noexcept;
    void tell_requests() noexcept {
        capacity.add_requests(in_flight_ - told_);
        told_ = in_flight_;
    }

    bool ends_ = false;
    std::int64_t in_flight_ = 0, told_ = 0;
    std::vector<std::unique_ptr<Attempt>> free_attempts_;
    wire::Date date_;
    unsigned index_;
    shared::Registry& registry_;
    shared::ReportSink& control_;
    shared::View view_;
    std::shared_ptr<const shared::Snapshot> seen_;
    std::shared_ptr<const Bound> bound_;
    std::shared_ptr<const shared::Addresses> retained_;
    // Of the present configuration; what an earlier one had besides goes with the last exchange that began with it.
    std::unordered_map<std::string, std::shared_ptr<origin::Pool>> pools_;  // by identity
    std::unordered_map<std::string, std::weak_ptr<OriginTimes>> times_;     // by identity
    std::unordered_map<std::string, std::weak_ptr<RetryBudget>> budgets_;   // by site name
    std::vector<Moment> moments_;                                           ///< by OriginId; after a reload all are new
    std::vector<shared::PassiveReport> reports_;
};

}  // namespace nearhop::exchange
