#include "conf/parse.h"
#include "proxy/account/logging.h"
#include "proxy/run/commands.h"
#include "proxy/run/server.h"
#include "proxy/setup/build.h"
#include "proxy/wire/stream.h"

#include <exception>

namespace nearhop::run {

int run_proxy(const std::string& config_file) {
    block_signals();
    const account::EventLog events;  // first: from here on nothing waits for the reader of stderr
    raise_descriptor_limit();
    wire::initialise_tls();
    const auto keys = wire::make_ticket_keys();
    auto loaded = setup::load(config_file, keys);
    for (const auto& problem : loaded.problems) account::log_plain(conf::to_string(problem, config_file));
    if (!loaded.snapshot) return exit_usage;
    account::set_log_level(loaded.snapshot->routing->config.log.level);
    try {
        Server server{std::move(*loaded.snapshot), keys};
        return server.run() == 0 ? exit_ok : exit_failed;
    } catch (const std::exception& error) {
        account::log_error("start_failed", {{"what", error.what()}});
        return exit_failed;
    }
}

}  // namespace nearhop::run
