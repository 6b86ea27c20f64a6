#pragma once

#include "proxy/admin/registry.h"
#include "proxy/run/status.h"
#include "proxy/snapshot.h"

#include <boost/json/value.hpp>

#include <string>

namespace nearhop::admin {

/// Texts from outside (an errno's words, a file's metadata) may hold any bytes; JSON has to be UTF-8.
std::string printable(std::string text);

/// {"order", "author", "reason", "set", "expires"}
boost::json::value override_json(const run::OverrideRecord& record);

/// /status: what is known now, as JSON for people and scripts. docs/metrics.md has the figures over time.
std::string status_json(const Snapshot& snapshot, const Registry& registry, const run::Control::Status& status);

}  // namespace nearhop::admin
