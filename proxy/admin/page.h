#pragma once

#include "proxy/control/control.h"
#include "proxy/control/status.h"
#include "proxy/loop/task.h"
#include "proxy/shared/registry.h"
#include "proxy/shared/snapshot.h"

#include <exception>
#include <functional>
#include <string>
#include <string_view>

namespace nearhop::admin {

/// What the admin listener reads of the process and what it may do to it; run::Control behind functions, so that pages
/// are tested without one.
struct Process {
    std::function<const control::Control::Status&()> status;
    std::function<loop::Task<control::Control::ReloadResult>()> reload;
    std::function<loop::Task<control::Control::OverrideResult>(control::OverrideOrder)> override_origin{};
    std::function<void(const std::exception&)> failed{};  ///< a session or a long-lived task threw; does not throw
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

/// Every route, from state alone: no sockets. `allowed` says whether the peer is in admin.allow. What the arguments
/// refer to stays until the Task ends.
loop::Task<Page> answer(const Ask& ask, bool allowed, const shared::Snapshot& snapshot,
                        const shared::Registry& registry, const Process& process);

/// Pages that grow with the configuration, /metrics and /status. They only read: any thread.
bool is_large(const Ask& ask) noexcept;
Page large_page(std::string_view path, const shared::Snapshot& snapshot, const shared::Registry& registry,
                const control::Control::Status& status);

/// True when `peer` may use the admin listener: admin.allow, or loopback without one.
bool is_allowed(const conf::Admin& admin, const geo::Address& peer);

}  // namespace nearhop::admin
