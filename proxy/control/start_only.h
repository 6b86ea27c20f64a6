#pragma once

#include "conf/config.h"

#include <optional>
#include <string>

namespace nearhop::control {

/// The keys that are read when the process starts and never again. A reload that has another value for one of them is
/// taken, with a warning: it says so instead of leaving the operator to wonder.
class StartOnly {
public:
    explicit StartOnly(const conf::Config& started);
    void compare(const conf::Config& next, conf::Problems& problems) const;

private:
    unsigned workers_, addresses_, idempotency_keys_;
    std::string admin_, access_;
    conf::LogFormat format_;
};

}  // namespace nearhop::control
