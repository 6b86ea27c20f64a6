#pragma once

#include "proxy/exchange/budget.h"
#include "proxy/exchange/origin_times.h"
#include "proxy/exchange/retry.h"
#include "proxy/simulate/network.h"
#include "proxy/simulate/outcome.h"
#include "proxy/simulate/verdicts.h"
#include "proxy/steering/decision.h"

#include <memory>
#include <set>
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

/// What workers do with requests (proxy/exchange/offer.cpp, ask.cpp), on the virtual clock: candidates from the
/// production decision, the production retry table, budget and sense of silence, kept-alive connections, local skips,
/// deadlines and backoff. Without hedges, capacity and Idempotency-Keys.
class Exchanges {
public:
    Exchanges(const Scenario& scenario, Events& events, Network& network, Verdicts& verdicts, Random& random,
              Outcome& outcome);

    void begin(const Client& client, const Traffic& traffic, Method method);
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
    struct Exchange {
        bool active = false;
        std::uint64_t step = 0;  ///< what was planned for an earlier step has no effect
        Request request;
        const Traffic* traffic = nullptr;
        unsigned worker = 0;
        std::uint16_t line = 0;
        geo::Place place;
        steering::Decision decision;
        steering::Earlier earlier;
        steering::OriginSet sent_to, fresh_tried;
        unsigned attempts = 0;
        // The attempt at hand:
        steering::Considered candidate;
        unsigned address = 0;
        bool sent = false, reused = false, silent = false;
        TimePoint began{};                ///< of the exchange
        TimePoint asked_at{}, sent_at{};  ///< of the attempt
        std::unique_ptr<Watch> watch{};
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

    void decide(Exchange& exchange);
    const steering::Considered* next_candidate(Exchange& exchange);
    void attempt(Index index, bool fresh);
    void send(Index index);
    void end_attempt(Index index, account::Fault fault, unsigned status);
    exchange::Move move_after(const Exchange& exchange, account::Fault fault, unsigned status) const;
    account::Fault closed(const Exchange& exchange) const;  ///< what a connection's end before the head says
    void note(Exchange& exchange, account::Fault fault, unsigned status);
    void finish(Index index, account::Fault fault, unsigned status);
    bool may_leave(const Exchange& exchange) const;

    void watch(Index index);
    void look(Index index);
    void leave_if_in_vain(Index index);

    steering::Local local(const Worker& worker, steering::SiteId site) const;
    void skip(Worker& worker, geo::OriginId origin, bool is_stalled);
    const conf::ExchangeLimits& limits(const Exchange& exchange) const;
    milliseconds deadline(const Exchange& exchange) const { return *limits(exchange).deadline; }

    /// Plans what happens to the attempt at hand, unless something else happens to it first.
    template <class Do>
    void plan(Index index, TimePoint due, Do what);

    const Scenario& scenario_;
    Events& events_;
    Network& network_;
    Verdicts& verdicts_;
    Random& random_;
    Outcome& outcome_;
    std::vector<Worker> workers_;
    std::vector<bool> troubled_;  ///< by origin: as exchange::FailureRows
    std::set<std::pair<geo::OriginId, unsigned>> troubled_addresses_;
    std::vector<TimePoint> stall_reported_;  ///< by origin: of all workers one is heard
    std::vector<std::unique_ptr<Exchange>> exchanges_;
    std::vector<Index> free_;
};

template <class Do>
void Exchanges::plan(Index index, TimePoint due, Do what) {
    events_.at(due, [this, index, step = exchanges_[index]->step, what = std::move(what)] {
        Exchange& exchange = *exchanges_[index];
        if (exchange.step == step) what();
    });
}

}  // namespace nearhop::simulate
