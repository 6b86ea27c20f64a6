#include "proxy/admin/page.h"

#include "proxy/admin/metrics.h"
#include "proxy/admin/override_page.h"
#include "proxy/admin/query.h"
#include "proxy/admin/question.h"
#include "proxy/admin/status_page.h"

#include <boost/json.hpp>
#include <openssl/crypto.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace nearhop::admin {
namespace {

constexpr std::string_view json_type = "application/json";

constexpr std::string_view index_text =
    "nearhop admin\n\n"
    "GET  /metrics   figures for Prometheus\n"
    "GET  /livez     200 while the process works\n"
    "GET  /readyz    200 while traffic should come here, else 503\n"
    "GET  /status    state as JSON: origins, addresses, databases, certificates\n"
    "GET  /explain   ?ip= | country= | lat=&lon=  [&host=&path=&method=&format=text|json]: where a request would go "
    "now\n"
    "POST /reload    read the configuration again\n"
    "POST /origins/NAME/drain | force-up | force-down | clear   author=, reason= [, for=4h] [, force=true] in the "
    "query or as a form\n"
    "POST needs Authorization: Bearer TOKEN\n";

/// Takes the same time wherever the difference is; only the length shows.
bool is_same_secret(std::string_view left, std::string_view right) noexcept {
    return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

bool has_token(std::string_view authorization, std::string_view token) noexcept {
    constexpr std::string_view scheme = "Bearer ";
    return authorization.size() > scheme.size() &&
           wire::equal_ignoring_case(authorization.substr(0, scheme.size()), scheme) &&
           is_same_secret(authorization.substr(scheme.size()), token);
}

std::string_view what_health_is(const shared::Snapshot& snapshot) noexcept {
    return snapshot.isolated ? "as it was before this edge was cut off: every origin and every control target is silent"
                             : "live";
}

Page explain_page(std::string_view query, const shared::Snapshot& snapshot) {
    if (auto problem = parameter_problem({query}, {"ip", "country", "lat", "lon", "host", "path", "method", "format"});
        !problem.empty())
        return {.status = 400, .body = std::move(problem) + "\n"};
    const auto path = query_value(query, "path");
    const auto answer = explain({.ip = query_value(query, "ip"),
                                 .country = query_value(query, "country"),
                                 .latitude = query_value(query, "lat"),
                                 .longitude = query_value(query, "lon"),
                                 .host = query_value(query, "host"),
                                 .path = path.empty() ? "/" : path,
                                 .method = query_value(query, "method")},
                                snapshot, *snapshot.health);
    if (!answer.error.empty()) return {.status = 400, .body = answer.error + "\n"};
    const std::string health_is{what_health_is(snapshot)};
    if (query_value(query, "format") == "text")
        return {.body = answer_text(answer, snapshot, *snapshot.health, health_is)};
    return {.type = json_type, .body = answer_json(answer, snapshot, *snapshot.health, health_is)};
}

/// nullopt: the caller may change things.
std::optional<Page> refused(const Ask& ask, const shared::Snapshot& snapshot) {
    if (ask.method != "POST") return Page{.status = 405, .body = "want POST\n", .fields = "Allow: POST\r\n"};
    const auto& config = snapshot.routing->config;
    if (config.admin.token.value.empty())
        return Page{.status = 403, .body = "changes are off: the configuration has no admin.token\n"};
    if (!has_token(ask.authorization, config.admin.token.value))
        return Page{.status = 401,
                    .body = "this needs Authorization: Bearer TOKEN\n",
                    .fields = "WWW-Authenticate: Bearer\r\n"};
    return std::nullopt;
}

Page ready_page(const shared::Snapshot& snapshot, const shared::Registry& registry) {
    if (snapshot.isolated) return {.status = 503, .body = "not ready: cut off from every origin\n"};
    if (!snapshot.ready) return {.status = 503, .body = "not ready\n"};
    if (registry.capacity.is_full()) return {.status = 503, .body = "not ready: at its limits\n"};
    return {.body = "ready\n"};
}

loop::Task<Page> reload_page(std::string_view query, const shared::Snapshot& snapshot, const Process& process) {
    if (auto problem = parameter_problem({query}, {}); !problem.empty())
        co_return Page{.status = 400, .body = std::move(problem) + "\n"};
    const auto& config = snapshot.routing->config;
    const auto result = co_await process.reload();
    boost::json::array problems;
    for (const auto& problem : result.problems) problems.emplace_back(conf::to_string(problem, config.file));
    const boost::json::object body{{"ok", result.ok}, {"problems", std::move(problems)}};
    co_return Page{.status = result.ok ? 200u : 422u, .type = json_type, .body = boost::json::serialize(body) + "\n"};
}

Page readable_page(const Ask& ask, const shared::Snapshot& snapshot, const shared::Registry& registry,
                   const Process& process) {
    constexpr std::string_view readable[] = {"/", "/metrics", "/livez", "/readyz", "/status", "/explain"};
    if (std::find(std::begin(readable), std::end(readable), ask.path) == std::end(readable))
        return {.status = 404, .body = "no such page; / lists them\n"};
    if (ask.method != "GET" && ask.method != "HEAD")
        return {.status = 405, .body = "want GET\n", .fields = "Allow: GET, HEAD\r\n"};

    if (is_large(ask)) return large_page(ask.path, snapshot, registry, process.status());
    if (ask.path == "/livez") return {.body = "ok\n"};
    if (ask.path == "/readyz") return ready_page(snapshot, registry);
    if (ask.path == "/explain") return explain_page(ask.query, snapshot);
    return {.body = std::string{index_text}};
}

}  // namespace

bool is_large(const Ask& ask) noexcept {
    return (ask.path == "/metrics" || ask.path == "/status") && (ask.method == "GET" || ask.method == "HEAD");
}

Page large_page(std::string_view path, const shared::Snapshot& snapshot, const shared::Registry& registry,
                const control::Control::Status& status) {
    if (path == "/status") return {.type = json_type, .body = status_json(snapshot, registry, status)};
    return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics_text(snapshot, registry, status)};
}

loop::Task<Page> answer(const Ask& ask, bool allowed, const shared::Snapshot& snapshot,
                        const shared::Registry& registry, const Process& process) {
    if (!allowed) co_return Page{.status = 403, .body = "this address is not in admin.allow\n"};
    const bool reloads = ask.path == "/reload";
    if (!reloads && !ask.path.starts_with(origins_path)) co_return readable_page(ask, snapshot, registry, process);
    if (auto page = refused(ask, snapshot)) co_return std::move(*page);
    if (reloads) co_return co_await reload_page(ask.query, snapshot, process);
    co_return co_await override_page(ask, process);
}

bool is_allowed(const conf::Admin& admin, const geo::Address& peer) {
    const auto holds = [&](std::string_view text) {
        const auto cidr = geo::Cidr::parse(text);
        return cidr && cidr->contains(peer);
    };
    if (admin.allow_loopback && (holds("127.0.0.0/8") || holds("::1/128"))) return true;
    return std::any_of(admin.allow.begin(), admin.allow.end(), [&](const auto& text) { return holds(*text); });
}

}  // namespace nearhop::admin
