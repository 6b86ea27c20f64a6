#pragma once

#include "conf/problem.h"
#include "health/origin_health.h"
#include "proxy/account/counters.h"
#include "proxy/control/control.h"
#include "proxy/control/isolation_watch.h"
#include "proxy/control/probe.h"
#include "proxy/steering/headroom.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::control {

inline constexpr std::size_t health_reason_count = static_cast<std::size_t>(health::Reason::operator_drain) + 1;
inline constexpr std::size_t verdict_count = static_cast<std::size_t>(health::Verdict::down) + 1;

/// Seconds in the buckets of admin::Histogram; for the control thread alone, so plain numbers.
struct PhaseHistogram {
    std::array<std::uint64_t, account::Histogram::bounds.size() + 1> buckets{};  ///< not cumulative; the last is +Inf
    double sum = 0;
    std::uint64_t count = 0;

    void observe(double seconds) noexcept {
        std::size_t i = 0;
        while (i < account::Histogram::bounds.size() && seconds > account::Histogram::bounds[i]) ++i;
        ++buckets[i];
        sum += seconds;
        ++count;
    }
};

/// What the control thread counts of one origin name, as long as the process lives: a reload resets nothing.
struct OriginFigures {
    std::array<std::uint64_t, health_reason_count> probes{};  ///< by result; [passed] are the good ones
    PhaseHistogram resolve, connect, tls, first_byte;         ///< of resolves and probes
    std::uint64_t resolves_ok = 0, resolves_failed = 0;
    std::array<std::uint64_t, verdict_count> changes{};  ///< of the origin's verdict, by the new one
    std::uint64_t ejections = 0;                         ///< of the origin
    std::uint64_t address_changes = 0;                   ///< DNS gave another set of addresses
    PhaseHistogram detection, recovery;                  ///< of its outages: health::Outage
};

/// For metrics and /status; brought up to date by Control::status().
struct Control::Status {
    struct Address {
        std::string text;
        health::State state;
        bool probed = false;  ///< the rest means something
        ProbeOutcome last;    ///< its phases, reason and what went wrong in words
    };
    struct Check {
        std::string name;
        std::string_view needs;  ///< what it moves: "note", "writes", "paths" ...
        health::CheckState state;
    };
    struct Origin {
        std::string name;
        health::State state;
        std::vector<Check> checks{};                  ///< as configured
        std::optional<OverrideRecord> by_operator{};  ///< the standing order
        double rtt_ms = -1;                           ///< negative: not known
        double share = 1;                             ///< of its clients, 0 to 1; below 1 while it comes back
        double held_s = 0;                            ///< until it gets the first of them
        std::vector<Address> addresses;
        bool by_name = false;         ///< DNS is asked; else the address is in the configuration
        double dns_age_s = -1;        ///< since the last good answer; negative: none yet
        double dns_ttl_s = 0;         ///< of that answer, as clamped
        std::size_t dns_dropped = 0;  ///< of its addresses, for want of room
        std::string resolve_error;    ///< of the last resolve; empty: it was good
    };
    struct Database {
        std::string name, type;
        std::chrono::system_clock::time_point built;
        std::uint64_t errors = 0;
        std::string failure;  ///< why its file's newer content is not in use; empty: it is
    };

    /// What an entry of clients.trusted takes from a file.
    struct Ranges {
        std::string file, service;
        std::size_t networks = 0;
        std::string failure;  ///< as of a database
    };

    std::vector<Origin> origins;                   ///< by OriginId
    std::map<std::string, OriginFigures> figures;  ///< by origin name

    std::vector<steering::Headroom::Row> headroom;  ///< by OriginId; empty: no origin has a capacity
    health::Isolation isolation;
    std::uint64_t isolations = 0;
    std::vector<IsolationWatch::Target> control_targets;  ///< as configured

    std::uint64_t reloads_ok = 0, reloads_failed = 0;
    conf::Problems reload_problems;  ///< of the last one
    std::uint64_t config_generation = 1;
    std::chrono::system_clock::time_point config_loaded{};
    std::uint64_t snapshot_generation = 0;

    std::vector<Database> databases;
    std::uint64_t databases_replaced = 0, databases_refused = 0;  ///< by the watch, not by reloads
    std::vector<Ranges> ranges;
    std::uint64_t ranges_replaced = 0, ranges_refused = 0;  ///< by the watch, not by reloads
    std::vector<wire::ServerTls::Expiry> certificates;
};

}  // namespace nearhop::control
