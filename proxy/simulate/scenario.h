#pragma once

#include "conf/config.h"
#include "proxy/simulate/condition.h"
#include "proxy/steering/table.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

/// What a scenario file says, as plain values. docs/simulate.md explains each key.
namespace nearhop::simulate {

/// What is wrong with an origin, or with the way to it.
enum class Trouble {
    none,
    refused,      ///< the process is gone: connects are refused, open connections were reset
    unreachable,  ///< no route: connects fail at once, open connections are silent
    blackhole,    ///< nothing comes back at all
    reset,        ///< accepts, and resets when asked
    hang,         ///< accepts, and never says anything
    errors,       ///< a share of answers is 503
    slow,         ///< a share of answers comes late
    latency,      ///< the way got longer
};

struct Fault {
    enum class Hits { all, requests, probes };

    Trouble trouble = Trouble::none;
    unsigned share = 100;   ///< percent of the answers; errors and slow
    milliseconds delay{0};  ///< slow: of each answer; latency: of each round trip
    Hits hits = Hits::all;
};

struct Event {
    milliseconds at{0};
    std::vector<geo::OriginId> origins;
    unsigned address = 0;  ///< 1-based; 0: every address
    bool control = false;  ///< happens to the control targets, beside `origins`
    Fault fault;
    milliseconds every{0};  ///< on and off in turn; 0: stays
};

struct Traffic {
    std::string label;
    std::vector<geo::Country> countries;
    unsigned clients = 100;
    conf::Rate rate;
    unsigned writes = 0;   ///< percent POST
    unsigned puts = 0;     ///< percent PUT
    unsigned keys = 0;     ///< percent of the POST that carry an Idempotency-Key
    unsigned repeats = 0;  ///< how often a client tries again what failed, with the same key
    milliseconds repeat_after{1'000};
    steering::SiteId site = 0;
    std::string path = "/";
};

/// An origin as seen from this edge while all is well.
struct OriginModel {
    milliseconds rtt{20};
    unsigned noise = 5;       ///< percent by which single round trips differ, both ways
    milliseconds answer{20};  ///< from the request to the head, at the origin
    unsigned addresses = 1;
};

struct Scenario {
    std::string file;
    conf::Config config;
    std::shared_ptr<const steering::Table> table;
    std::uint64_t seed = 1;
    milliseconds duration{60'000};
    milliseconds interval{10'000};  ///< of the table of shares, and of asserts about shares
    unsigned workers = 2;
    std::vector<OriginModel> origins;  ///< by OriginId
    std::vector<Traffic> traffic;
    std::vector<Event> events;
    std::vector<Condition> conditions;
};

}  // namespace nearhop::simulate
