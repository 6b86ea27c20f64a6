#pragma once

#include "proxy/exchange/budget.h"
#include "proxy/exchange/course.h"
#include "proxy/exchange/origin_times.h"
#include "proxy/shared/origin_load.h"
#include "proxy/shared/pins.h"
#include "proxy/simulate/network.h"
#include "proxy/simulate/outcome.h"
#include "proxy/simulate/verdicts.h"
#include "proxy/steering/decision.h"

#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nearhop::simulate {

/// Who sends requests.
struct Client {
    std::uint32_t number = 0;
    geo::Country country;
    std::uint16_t line = 0;
    unsigned worker = 0;
};

/// What a client wants: one request, or the same again where it failed.
struct Errand {
    Client client;
    const Traffic* traffic = nullptr;
    Method method = Method::get;
    bool has_key = false;      ///< an Idempotency-Key, made from `number`
    std::uint32_t number = 0;  ///< the same for each repetition
    unsigned repeats = 0;      ///< that are left
};

/// What workers do with requests, on the virtual clock: the production Course says where each goes, with the production
/// decision, budget, pins, capacities and sense of silence. Connections, answers, skips and deadlines are modelled
/// here.
class Exchanges {
public:
    Exchanges(const Scenario& scenario, Events& events, Network& network, Verdicts& verdicts, Random& random,
              Outcome& outcome);

    void begin(const Errand& errand);
    /// An origin changed under the connections that are open to it.
    void on_fault(geo::OriginId origin, unsigned address, const Fault& now);
    /// What is still under way at the end of the run is over too: as an error if it took longer than its deadline.
    std::size_t under_way() const noexcept { return exchanges_.size() - free_.size(); }

private:
    using Index = std::size_t;

    /// An attempt that waits for its origin, and hears when all who wait there do so in vain.
    struct Watch final : loop::Notify {
        Watch(Exchanges& owner, Index number) : all{owner}, index{number} {}
        void notify() noexcept override;
        Exchanges& all;
        Index index;
        exchange::Silence::Waiter waiting;
    };
    struct Attempt {
        std::uint64_t stage = 0;  ///< what was planned for an earlier stage has no effect
        steering::Considered candidate;
        shared::OriginLoad::Slot slot;  ///< where the origin has a capacity
        unsigned address = 0;
        bool sent = false, reused = false, silent = false;
        unsigned status = 0;
        TimePoint asked_at{}, sent_at{};
        std::unique_ptr<Watch> watch{};
    };
    struct Place {  ///< in the queue of an origin
        Place(shared::OriginLoad& load, loop::Loop& loop) : wake{loop}, waiter{load, wake} {}
        loop::Wake wake;
        shared::OriginLoad::Waiter waiter;
    };
    struct Exchange final : exchange::Course::Edge {
        Exchange(Exchanges& owner, Index number, const Errand& wanted) : all{owner}, index{number}, errand{wanted} {}
        const steering::Decision& decide(const steering::Earlier& earlier) override;
        bool is_ordered_out(geo::OriginId) override { return false; }  // no operator in a scenario
        std::optional<steering::OriginSet> pinned() override;
        Claim claim(geo::OriginId origin) override;
        void release(geo::OriginId origin) override;
        bool has_token() override { return budget().tokens() >= 1; }
        bool take_token() override { return budget().take(); }
        exchange::RetryBudget& budget() { return all.workers_[errand.client.worker].budgets[errand.traffic->site]; }

        Exchanges& all;
        Index index;
        Errand errand;
        Request request;
        std::uint64_t key = 0;  ///< what pins know it by
        geo::Place place;
        steering::Decision decision;
        exchange::Course course{*this};
        TimePoint began{};
        std::uint64_t stage = 0;         ///< while it waits without an attempt, as an attempt's
        std::unique_ptr<Place> waiting;  ///< for room at the candidate
        steering::Considered candidate;
        shared::OriginLoad::Slot slot;  ///< for the next attempt
        std::unique_ptr<Attempt> first, hedge;
        std::unique_ptr<Attempt> parked;  ///< answered 503, which is forwarded if nobody does better
    };
    struct Kept {
        unsigned address = 0;
        TimePoint until{};
    };
    struct Skip {
        TimePoint until{}, since{};  ///< `since`: of the state that was published then
        bool stalled = false;
    };
    struct Worker {
        std::vector<exchange::RetryBudget> budgets;  ///< by site
        std::vector<std::vector<Kept>> pools;        ///< by origin; the last one kept is taken first
        std::vector<unsigned> turns;                 ///< by origin
        std::vector<exchange::OriginTimes> times;    ///< by origin
        std::vector<Skip> skips;                     ///< by origin
    };

    // From attempt to attempt: exchanges.cpp.
    void follow(Exchange& exchange, exchange::Course::Step step);
    void enter(Exchange& exchange, const exchange::Course::Step& step);
    void queue(Exchange& exchange, const steering::Considered& candidate);
    bool leave_queue(Exchange& exchange);
    bool take_room(Exchange& exchange, geo::OriginId origin);
    void room_at(geo::OriginId origin);
    void finish(Exchange& exchange, account::Fault fault);
    void repeat(const Exchange& exchange);

    // One attempt: attempt.cpp.
    std::unique_ptr<Attempt> next_attempt(Exchange& exchange, const steering::Considered& candidate);
    void connect(Exchange& exchange, Attempt& attempt, bool fresh);
    void connected(Exchange& exchange, Attempt& attempt, const Network::Dialled& dialled);
    void send(Exchange& exchange, Attempt& attempt);
    void count_execution(Exchange& exchange, geo::OriginId origin);
    void wait(Exchange& exchange, Attempt& attempt);
    void out_of_time(Exchange& exchange);
    void late(Exchange& exchange);
    void begin_hedge(Exchange& exchange);
    void hedge_won(Exchange& exchange);
    void end(Exchange& exchange, Attempt& attempt, account::Fault fault, unsigned status);
    void keep_connection(const Exchange& exchange, const Attempt& attempt);
    void settle(const Attempt& attempt, account::Fault fault, unsigned status);
    void park(Exchange& exchange, std::unique_ptr<Attempt> attempt);
    void drop(std::unique_ptr<Attempt> attempt);
    bool may_leave(const Exchange& exchange) const { return exchange.course.may_leave(exchange.first->sent, true); }
    account::Fault closed(const Attempt& attempt) const;  ///< what a connection's end before the head says

    void watch(Exchange& exchange, Attempt& attempt);
    void look(const Exchange& exchange, geo::OriginId origin);
    void leave_if_in_vain(Exchange& exchange);

    steering::Local local(const Worker& worker, steering::SiteId site) const;
    void skip(Worker& worker, geo::OriginId origin, bool is_stalled);
    Worker& worker_of(const Exchange& exchange) { return workers_[exchange.errand.client.worker]; }
    const conf::ExchangeLimits& limits(const Exchange& exchange) const;
    TimePoint due(const Exchange& exchange) const { return exchange.began + *limits(exchange).deadline; }

    /// Plans what happens to the exchange in this stage of it or of one of its attempts.
    template <class Do>
    void plan(const Exchange& exchange, std::uint64_t stage, TimePoint due, Do what);

    const Scenario& scenario_;
    Events& events_;
    Network& network_;
    Verdicts& verdicts_;
    Random& random_;
    Outcome& outcome_;
    std::vector<Worker> workers_;
    loop::Loop loop_;  ///< what queues of the product know a worker by; it never runs
    std::vector<std::unique_ptr<shared::OriginLoad>> loads_;  ///< by origin
    shared::Pins pins_{1, 2};
    std::unordered_map<std::uint32_t, geo::OriginId> executed_at_;  ///< by the number of the errand; POST
    std::vector<bool> troubled_;                                    ///< by origin: as exchange::FailureRows
    std::set<std::pair<geo::OriginId, unsigned>> troubled_addresses_;
    std::vector<TimePoint> stall_reported_;  ///< by origin: of all workers one is heard
    std::uint64_t stages_ = 0;
    std::vector<std::unique_ptr<Exchange>> exchanges_;  ///< null: free
    std::vector<Index> free_;
};

template <class Do>
void Exchanges::plan(const Exchange& exchange, std::uint64_t stage, TimePoint due, Do what) {
    events_.at(due, [this, index = exchange.index, stage, what = std::move(what)] {
        Exchange* const now = exchanges_[index].get();
        if (!now) return;
        const auto is_in = [&](const std::unique_ptr<Attempt>& attempt) { return attempt && attempt->stage == stage; };
        if (now->stage == stage || is_in(now->first) || is_in(now->hedge)) what(*now);
    });
}

}  // namespace nearhop::simulate
