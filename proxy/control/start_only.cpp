#include "proxy/control/start_only.h"

#include "conf/syntax.h"

namespace nearhop::control {
namespace {

std::string text_of(const std::optional<conf::At<conf::ListenAddress>>& listen) {
    return listen ? conf::to_string(**listen) : "off";
}

}  // namespace

StartOnly::StartOnly(const conf::Config& started)
    : workers_{*started.workers},
      addresses_{*started.limits.addresses},
      idempotency_keys_{*started.failover.idempotency_keys},
      admin_{text_of(started.admin.listen)},
      access_{*started.log.access},
      format_{*started.log.format} {}

void StartOnly::compare(const conf::Config& next, conf::Problems& problems) const {
    const auto warn = [&](bool differs, conf::Mark mark, const std::string& key) {
        if (differs)
            problems.push_back({conf::Severity::warning, mark, key,
                                "takes effect at the next start only: this process keeps the old value"});
    };
    const auto& listen = next.admin.listen;
    warn(*next.workers != workers_, next.workers.mark, "workers");
    warn(text_of(listen) != admin_, listen ? listen->mark : conf::Mark{}, "admin.listen");
    warn(*next.log.access != access_, next.log.access.mark, "log.access");
    warn(*next.log.format != format_, next.log.format.mark, "log.format");
    warn(*next.limits.addresses != addresses_, next.limits.addresses.mark, "limits.addresses");
    warn(*next.failover.idempotency_keys != idempotency_keys_, next.failover.idempotency_keys.mark,
         "failover.idempotency_keys");
}

}  // namespace nearhop::control
