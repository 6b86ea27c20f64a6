#pragma once

#include "health/table.h"
#include "proxy/steering/table.h"

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Whether the other origins have room for the load of an origin that dies or drains. Pure.
namespace nearhop::steering {

/// Requests in flight, by site and by origin in it.
using Loads = std::vector<std::vector<double>>;

/// What the loss of one origin would do to the others.
struct Loss {
    double load = 0;    ///< requests in flight that would have to go elsewhere
    double placed = 0;  ///< how many of these the others have room for
    std::vector<std::pair<OriginId, double>>
        takes;  ///< origins that would take load, and how much, in the order of first use

    bool survivable() const noexcept { return load - placed < 0.5; }  ///< half a request is rounding
};

/// The model, site by site in the configuration's order: the load goes to the origins for a client at the lost origin's
/// place, in the order of the site's policy. Each fills up to its capacity (of `capacities`; 0: unlimited) before the
/// next. So the model puts a site's clients near the origin that serves them, and ignores routes and writers. An origin
/// that may not take new requests takes none, and its own load must move too.
Loss lose(OriginId lost, const Table& table, const health::Table& health, std::span<const unsigned> capacities,
          const Loads& loads);

/// The same for every origin, from samples of the load. An overload counts at once, by the mean of some seconds; it
/// ends after a time without one, so that a load near the limit does not flicker.
class Headroom {
public:
    static constexpr std::chrono::seconds mean_over{5}, calm_after{30};

    /// Requests in flight now, by the names of site and origin; an absent pair has none.
    using Sample = std::map<std::pair<std::string, std::string>, double>;

    struct Row {
        std::string origin;
        Loss loss;                                            ///< by the mean load
        std::vector<std::pair<std::string, double>> takes{};  ///< of it, by name: numbers change with a reload
        bool survivable = true;
        bool changed = false;  ///< by the last look()
    };

    /// About once a second. `capacities` by OriginId. Without any there are no rows: nothing could be overloaded.
    void look(const Table& table, const health::Table& health, std::span<const unsigned> capacities,
              const Sample& in_flight, health::TimePoint now);
    const std::vector<Row>& rows() const noexcept { return rows_; }  ///< by OriginId, or empty

    /// For an order that takes an origin out: by the mean or the present load, whichever is more.
    Loss ask(OriginId lost, const Table& table, const health::Table& health, std::span<const unsigned> capacities,
             const Sample& in_flight) const;

private:
    Loads loads_of(const Table& table, const Sample* least) const;

    Sample means_;
    std::map<std::string, health::TimePoint> overload_seen_;  ///< by origin name
    health::TimePoint looked_at_{};
    std::vector<Row> rows_;
};

}  // namespace nearhop::steering
