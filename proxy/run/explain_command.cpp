#include "conf/parse.h"
#include "proxy/admin/question.h"
#include "proxy/run/commands.h"
#include "proxy/setup/build.h"
#include "proxy/wire/stream.h"

#include <cstdio>
#include <string_view>

namespace nearhop::run {
namespace {

/// For `explain` without a configuration: enough to see how a decision is made.
constexpr std::string_view built_in = R"(
listeners: [{address: 127.0.0.1:0, protocol: http, plain: serve}]
origins:
  us-east-1: https://us-east-1.example.com
  eu-west-1: https://eu-west-1.example.com
  ap-southeast-1: https://ap-southeast-1.example.com
)";

/// A decision needs no certificate, no secret and no log, and where it is explained the edge's are seldom at hand.
void forget_files(conf::Config& config) {
    const conf::At<std::string> none;
    config.tls.certificates.clear();
    config.log = {};
    for (auto& listener : config.listeners) listener.client_certificates = {conf::ClientCertificates::none};
    for (auto& site : config.sites) {
        site.client_certificates.reset();
        site.unserved = conf::Unserved::warning;  // just what one wants explained
    }
    for (auto& origin : config.origins) {
        origin.ca = origin.tls.certificate = origin.tls.private_key = none;
        origin.headers.set.clear();
        origin.health.headers.clear();
    }
    config.admin.token = {};
    // A question names its client itself: what a peer would have to show for that does not matter.
    for (auto& peer : config.clients.trusted) peer.secret = {};
}

setup::BuildResult load_or_built_in(const std::string& file) {
    auto parsed = file.empty() ? conf::parse(built_in, "built-in") : conf::parse_file(file);
    if (!parsed.config) return {std::nullopt, std::move(parsed.problems)};
    forget_files(*parsed.config);
    return setup::build(std::move(*parsed.config), wire::make_ticket_keys());
}

}  // namespace

int explain_request(const ExplainOptions& options) {
    wire::initialise_tls();
    const auto loaded = load_or_built_in(options.config);
    if (!loaded.snapshot) {
        const std::string file = options.config.empty() ? "built-in" : options.config;
        for (const auto& problem : loaded.problems)
            std::fprintf(stderr, "%s\n", conf::to_string(problem, file).c_str());
        return exit_usage;
    }

    // Nothing is probed here.
    health::Table health;
    health.origins.resize(loaded.snapshot->routing->origins.size());
    for (auto& origin : health.origins) origin.state.verdict = health::Verdict::up;
    const auto answer = admin::explain({.ip = options.ip,
                                        .country = options.country,
                                        .latitude = options.latitude,
                                        .longitude = options.longitude,
                                        .host = options.host,
                                        .path = options.path,
                                        .method = options.method},
                                       *loaded.snapshot, health);
    if (!answer.error.empty()) {
        std::fprintf(stderr, "nearhop explain: %s\n", answer.error.c_str());
        return exit_usage;
    }
    std::string health_is = "assumed: every origin is up (a running nearhop answers by live health at /explain)";
    if (options.config.empty()) health_is += "; origins: three built-in regions, use --config for your own";
    const auto print = options.json ? admin::answer_json : admin::answer_text;
    std::fputs(print(answer, *loaded.snapshot, health, health_is).c_str(), stdout);
    return exit_ok;
}

}  // namespace nearhop::run
