#include "proxy/simulate/simulate.h"

#include "proxy/simulate/exchanges.h"

namespace nearhop::simulate {
namespace {

/// Before t = 0 only probes run: the phases of their schedules are what they are at any moment of a long life.
constexpr std::chrono::seconds warm_up{30};

geo::Address address_from(std::uint64_t dice) {
    std::string text;
    for (unsigned bits = 32; bits < 64; bits += 8)
        text += (bits > 32 ? "." : "") + std::to_string((dice >> bits) & 255);
    return *geo::Address::parse(text);
}

class Run {
public:
    explicit Run(const Scenario& scenario) : scenario_{scenario}, random_{scenario.seed} {
        outcome_.interval = scenario.interval;
        outcome_.duration = scenario.duration;
        const auto seconds =
            static_cast<std::size_t>(std::chrono::ceil<std::chrono::seconds>(scenario.duration).count());
        for (const auto& origin : scenario.config.origins) {
            outcome_.origins.push_back(origin.name);
            outcome_.attempts.emplace_back(seconds);
        }
        for (const Traffic& traffic : scenario.traffic) add_clients(traffic);
    }

    Outcome go() {
        verdicts_.start();
        events_.run_until(origin_of_time - microseconds{1});
        network_.start(
            [this](geo::OriginId origin, unsigned address, const Fault& now) {
                std::string what = "origin=" + outcome_.origins[origin];
                if (scenario_.origins[origin].addresses > 1) what += " address=" + std::to_string(address + 1);
                outcome_.timeline.push_back({events_.time(), what + " fault=" + describe(now)});
                exchanges_.on_fault(origin, address, now);
            },
            [this](const Fault& now) {
                outcome_.timeline.push_back({events_.time(), "control fault=" + describe(now)});
            });
        for (std::size_t row = 0; row < scenario_.traffic.size(); ++row)
            if (scenario_.traffic[row].rate.count > 0) events_.at(origin_of_time + gap(row), [this, row] { ask(row); });
        events_.run_until(origin_of_time + scenario_.duration);
        asking_ = false;
        // Requests that began in time are waited for; nothing waits longer than its deadline.
        while (exchanges_.under_way() > 0) events_.run_until(events_.now() + milliseconds{100});
        std::erase_if(outcome_.timeline, [this](const Happening& each) { return each.when > outcome_.duration; });
        return std::move(outcome_);
    }

private:
    void add_clients(const Traffic& traffic) {
        auto& clients = clients_.emplace_back();
        for (unsigned i = 0; i < traffic.clients; ++i) {
            const auto dice = random_.next();
            clients.push_back({number_++, traffic.countries[i % traffic.countries.size()],
                               steering::line_of(address_from(dice)), static_cast<unsigned>(dice % scenario_.workers)});
        }
    }

    /// Between two requests of a row: from nothing to twice the mean.
    microseconds gap(std::size_t row) {
        const auto& rate = scenario_.traffic[row].rate;
        const double mean = 1e6 * static_cast<double>(rate.per.count()) / rate.count;
        return microseconds{static_cast<microseconds::rep>(2 * mean * random_.fraction())};
    }

    void ask(std::size_t row) {
        if (!asking_) return;
        const Traffic& traffic = scenario_.traffic[row];
        const auto& client = clients_[row][random_.below(clients_[row].size())];
        const auto dice = random_.below(100);
        const Method method = dice < traffic.writes                  ? Method::post
                              : dice < traffic.writes + traffic.puts ? Method::put
                                                                     : Method::get;
        events_.after(gap(row), [this, row] { ask(row); });
        const bool has_key = method == Method::post && traffic.keys > 0 && random_.happens(traffic.keys);
        exchanges_.begin({client, &traffic, method, has_key, ++errands_, traffic.repeats});
    }

    const Scenario& scenario_;
    Random random_;
    Outcome outcome_;
    Events events_{origin_of_time - warm_up};
    Network network_{scenario_, events_, random_};
    Verdicts verdicts_{scenario_, events_, network_, random_, outcome_.timeline};
    Exchanges exchanges_{scenario_, events_, network_, verdicts_, random_, outcome_};
    std::vector<std::vector<Client>> clients_;  ///< by row of the traffic
    std::uint32_t number_ = 0;                  ///< of clients
    std::uint32_t errands_ = 0;                 ///< so many so far
    bool asking_ = true;
};

}  // namespace

Outcome simulate(const Scenario& scenario) { return Run{scenario}.go(); }

}  // namespace nearhop::simulate
