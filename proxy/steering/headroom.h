#pragma once

#include "health/table.h"
#include "proxy/steering/table.h"

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Whether the rest could carry the load of an origin that is lost, or is about to be drained. Pure.
namespace nearhop::steering {

/// Requests in flight, by site and by origin in it.
using Loads = std::vector<std::vector<double>>;

/// What the loss of one origin would do to the others.
struct Loss {
    double load = 0;                                 ///< requests in flight that would have to go elsewhere
    double placed = 0;                               ///< of these, what there is room for
    std::vector<std::pair<OriginId, double>> takes;  ///< who would take how many more, in the order of first use

    bool survivable() const noexcept { return load - placed < 0.5; }  ///< half a request is rounding
};

/// The model, site by site in the configuration's order: the load goes to the origins that would take a request from
/// where the lost origin stands, in the order of the site's policy, each filled up to its capacity (of `capacities`; 0:
/// without limit) before the next. So a site's clients are taken to stand near the origin that serves them, routes and
/// writers are not looked at, and an origin that may not take new requests takes none: what it still has in flight has
/// to go elsewhere too.
Loss lose(OriginId lost, const Table& table, const health::Table& health, std::span<const unsigned> capacities,
          const Loads& loads);

/// The same for every origin, kept up to date from samples of the load. An overload is seen at once, by the mean of
/// some seconds; it is over when it has not been seen for a while, so that a load near the edge does not flicker.
class Headroom {
public:
    static constexpr std::chrono::seconds mean_over{5}, calm_after{30};

    /// Requests in flight now, by the names of site and origin; a pair that is not there has none.
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
