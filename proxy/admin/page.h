#pragma once

#include "proxy/admin/counters.h"
#include "proxy/run/control.h"
#include "proxy/run/status.h"
#include "proxy/snapshot.h"

#include <functional>
#include <string>
#include <string_view>

namespace nearhop::admin {

/// What the admin listener reads of the process and what it may do to it; run::Control behind two functions, so that
/// pages are tested without one.
struct Process {
    std::function<const run::Control::Status&()> status;
    std::function<run::Control::ReloadResult()> reload;
    std::function<run::Control::OverrideResult(const run::OverrideOrder&)> override_origin{};
};

/// A request to the admin listener.
struct Ask {
    std::string_view method, path, query;
    std::string_view authorization;  ///< the field's value; empty: absent
    std::string_view body{};         ///< parameters as a form has them
};

struct Page {
    unsigned status = 200;
    std::string_view type = "text/plain; charset=utf-8";
    std::string body{};
    std::string_view fields{};  ///< further header lines, each with CRLF
};

/// Every route, from state alone: no sockets. `allowed` says whether the peer is in admin.allow.
Page answer(const Ask& ask, bool allowed, const Snapshot& snapshot, const Registry& registry, const Process& process);

/// True when `peer` may use the admin listener: admin.allow, or loopback without one.
bool is_allowed(const conf::Admin& admin, const geo::Address& peer);

}  // namespace nearhop::admin
