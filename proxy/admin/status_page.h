#pragma once

#include "proxy/control/status.h"
#include "proxy/shared/registry.h"
#include "proxy/shared/snapshot.h"

#include <boost/json/value.hpp>

#include <string>

namespace nearhop::admin {

/// Texts from outside (an errno's words, a file's metadata) may hold any bytes; JSON has to be UTF-8.
std::string printable(std::string text);

/// {"order", "author", "reason", "set", "expires"}
boost::json::value override_json(const control::OverrideRecord& record);

/// /status: what is known now, as JSON for people and scripts. docs/metrics.md has the figures over time.
std::string status_json(const shared::Snapshot& snapshot, const shared::Registry& registry,
                        const control::Control::Status& status);

}  // namespace nearhop::admin
