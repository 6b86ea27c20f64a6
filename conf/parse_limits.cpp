#include "conf/sections.h"
#include "conf/syntax.h"

#include <algorithm>

/// Failing over, limits, and what surrounds the traffic: DNS, admin, log, shutdown.
namespace nearhop::conf {
namespace {

constexpr std::size_t most_control_targets = 8;
constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t gib = 1024 * mib;

std::string text_of(milliseconds value) { return to_string(value); }
std::string text_of(std::uint64_t value) { return size_to_string(value); }

/// `low` must not exceed `high`; reported at the one that is written, with the other's value, which may be a default.
template <class T>
void in_order(Keys& keys, std::string_view low, T low_value, std::string_view high, T high_value) {
    if (low_value <= high_value) return;
    const auto found = [&](std::string_view key, T value) {
        return std::string{key} + ' ' + text_of(value) + (keys.at(key).written() ? "" : " (the default)");
    };
    const Field upper = keys.at(high);
    (upper.written() ? upper : keys.at(low))
        .error("want " + std::string{low} + " at most " + std::string{high} + ", found " + found(low, low_value) +
               " and " + found(high, high_value));
}

/// A list names parameters whatever they are called; keep and drop are words on their own only.
void read_query(const Field& field, LogQuery& query) {
    const std::string wanted = "keep, drop, or a list of the names of parameters";
    const Form<std::string> name = parameter_name();
    field.list(wanted, "keep", true,
               R"("anyOf": [{)" + schema::words({"keep", "drop"}) + R"(}, {"type": "array", "items": {)" + name.schema +
                   R"(}, "minItems": 1, "uniqueItems": true}])");
    if (field.is(Tree::Kind::list)) {
        if (field.into_list(query.names, name, 1)) query.kind = LogQuery::Kind::names;
        return;
    }
    Form<LogQuery::Kind> word =
        choice<LogQuery::Kind>({{"keep", LogQuery::Kind::keep}, {"drop", LogQuery::Kind::drop}});
    word.wanted = wanted;
    field.into(query.kind, word);
}

}  // namespace

void read_failover(Keys& top, Failover& failover) {
    top.section("failover", [&](Keys& keys) {
        keys.value("enabled", failover.enabled, flag());
        keys.value("connect_candidates", failover.connect_candidates, count(1, 3));
        keys.value("sent_candidates", failover.sent_candidates, count(1, 3));
        keys.value("connect_timeout", failover.connect_timeout, duration(10ms, 1min));
        keys.value("tls_timeout", failover.tls_timeout, duration(10ms, 1min));
        keys.value("second_address_after", failover.second_address_after, duration(10ms, 1min));
        keys.value("budget_percent", failover.budget_percent, percent(0, 100));
        keys.value("budget_minimum", failover.budget_minimum, count(0, 100'000));
        keys.value("backoff", failover.backoff, duration(0ms, 10s));
        keys.value("backoff_max", failover.backoff_max, duration(0ms, 10s));
        keys.value("queue", failover.queue, count(0, 10'000));
        keys.value("queue_time", failover.queue_time, duration(10ms, 1min));
        keys.value("idempotency_keys", failover.idempotency_keys, count(64, 16'777'216));
        keys.value("idempotency_expiry", failover.idempotency_expiry, whole_seconds(1s, 86'400s));
        in_order(keys, "connect_timeout", failover.connect_timeout, "tls_timeout", failover.tls_timeout);
        in_order(keys, "backoff", failover.backoff, "backoff_max", failover.backoff_max);
    });
}

void read_failback(Keys& top, Failback& failback) {
    top.section("failback", [&](Keys& keys) {
        const bool least = keys.value("hold_min", failback.hold_min, duration(0ms, 1h));
        keys.value("hold", failback.hold, duration(0ms, 1h));
        keys.value("ramp", failback.ramp, duration(0ms, 1h));
        keys.value("hold_max", failback.hold_max, duration(0ms, 24h));
        keys.value("half_life", failback.half_life, duration(1s, 24h));
        keys.value("error_percent", failback.error_percent, percent(1, 100));
        if (least) in_order(keys, "hold_min", failback.hold_min, "hold", failback.hold);
        in_order(keys, "hold", failback.hold, "hold_max", failback.hold_max);
    });
}

void read_isolation(Keys& top, Config& config) {
    Isolation& isolation = config.isolation;
    top.section("isolation", [&](Keys& keys) {
        keys.list("control", isolation.control, control_target(), 0, "none");
        keys.value("interval", isolation.interval, duration(100ms, 1h));
        keys.value("interval_failing", isolation.interval_failing, duration(100ms, 1h));
        keys.value("timeout", isolation.timeout, duration(10ms, 1min));
        in_order(keys, "interval_failing", isolation.interval_failing, "interval", isolation.interval);
        const Field control = keys.at("control");
        if (isolation.control.size() > most_control_targets)
            control.error("want at most " + std::to_string(most_control_targets) + " targets, found " +
                          std::to_string(isolation.control.size()));
        for (const auto& target : isolation.control) {
            const std::string& address = target->address.address;
            const bool is_origin = std::any_of(config.origins.begin(), config.origins.end(), [&](const Origin& origin) {
                return origin.url->host == address && origin.url->port == target->address.port;
            });
            if (is_origin)
                control.warning(to_string(*target) + " is an origin: a control target should be something else");
            else if (address == "::1" || address.starts_with("127."))
                control.warning(to_string(*target) + " is this machine: it answers even without a network");
        }
    });
}

void read_limits(Keys& top, Limits& limits) {
    top.section("limits", [&](Keys& keys) {
        keys.value_with("sessions", limits.sessions, count64(0, 10'000'000), "half of the descriptors");
        keys.value_with("sessions_per_address", limits.sessions_per_address, count64(0, 1'000'000), "unlimited");
        keys.value_with("session_requests", limits.session_requests, count(0, 1'000'000'000), "unlimited");
        keys.value("pipelined_requests", limits.pipelined_requests, count(0, 1'000'000));
        keys.value_with("requests", limits.requests, count64(0, 10'000'000), "half of the descriptors");
        keys.value_with("handshakes", limits.handshakes, count64(0, 1'000'000), "unlimited");
        keys.value_with("handshakes_per_second", limits.handshakes_per_second, count(0, 1'000'000), "unlimited");
        keys.value_with("memory", limits.memory, size_or_zero(16 * mib, 1024 * gib),
                        "80 % of the memory of the machine or cgroup");
        keys.value_with("geo_bytes", limits.geo_bytes, size_or_zero(1 * mib, 1024 * gib), "half of `limits.memory`");
        keys.value("counter_rows", limits.counter_rows, count(1, 1'000'000));
        keys.value("addresses", limits.addresses, count(64, 16'777'216));
        keys.value("head_bytes", limits.head_bytes, size(kib, 128 * kib));
        keys.value("head_fields", limits.head_fields, count(10, 1000));
        keys.value("target_bytes", limits.target_bytes, size(256, 64 * kib));
        keys.value("handshake_timeout", limits.handshake_timeout, duration(10ms, 10min));
        keys.value("head_timeout", limits.head_timeout, duration(10ms, 10min));
        keys.value("body_timeout", limits.body_timeout, duration(10ms, 1h));
        keys.value("body_rate", limits.body_rate, size(0, gib));
        keys.value("write_timeout", limits.write_timeout, duration(10ms, 1h));
        keys.value("write_rate", limits.write_rate, size(0, gib));
        keys.value("idle_timeout", limits.idle_timeout, duration(10ms, 1h));
        keys.value("origin_body_timeout", limits.origin_body_timeout, duration(10ms, 24h));
        keys.value("origin_head_bytes", limits.origin_head_bytes, size(kib, 128 * kib));
        keys.value("origin_interim_responses", limits.origin_interim_responses, count(0, 100));
        keys.value("chunk_line_bytes", limits.chunk_line_bytes, size(32, 16 * kib));
        keys.value("trailer_bytes", limits.trailer_bytes, size(0, 64 * kib));
        keys.value("replay_total", limits.replay_total, size(0, 64 * gib));
        keys.value("drain_bytes", limits.drain_bytes, size(0, 64 * gib));
        keys.value("drain_time", limits.drain_time, duration(0ms, 10min));
        keys.value("drain_silence", limits.drain_silence, duration(10ms, 1min));
        keys.value("origin_idle", limits.origin_idle, count(0, 10'000),
                   "as many as were in use at the peak of the last `origin_idle_timeout`");
        keys.value("origin_idle_timeout", limits.origin_idle_timeout, duration(10ms, 1h));
        keys.value("origin_age", limits.origin_age, duration(1s, 24h));
        keys.value("origin_requests", limits.origin_requests, count(1, 1'000'000));
        in_order(keys, "target_bytes", limits.target_bytes, "head_bytes", limits.head_bytes);
    });
}

void read_http2(Keys& top, Http2& http2) {
    top.section("http2", [&](Keys& keys) {
        keys.value("streams", http2.streams, count(1, 10'000));
        keys.value("stream_window", http2.stream_window, size(16 * kib, 256 * kib));
        keys.value("connection_window", http2.connection_window, size(64 * kib, 64 * mib));
        keys.value("resets", http2.resets, count(1, 1'000'000));
        keys.value("reset_rate", http2.reset_rate, count(0, 1'000'000));
        keys.value("control_frames", http2.control_frames, count(10, 1'000'000));
        keys.value("control_rate", http2.control_rate, count(0, 1'000'000));
        keys.value("empty_frames", http2.empty_frames, count(1, 1'000'000));
        keys.value("empty_rate", http2.empty_rate, count(0, 1'000'000));
        keys.value("continuations", http2.continuations, count(0, 64));
        keys.value("settings", http2.settings, count(8, 1000));
        keys.value("table_bytes", http2.table_bytes, size(0, 64 * kib));
        keys.value("cookie_crumbs", http2.cookie_crumbs, count(10, 10'000));
        in_order(keys, "stream_window", http2.stream_window, "connection_window", http2.connection_window);
    });
}

void read_dns(Keys& top, Dns& dns) {
    top.section("dns", [&](Keys& keys) {
        keys.list("servers", dns.servers, dns_server(), 0, "the system's");
        keys.value("min_ttl", dns.min_ttl, whole_seconds(1s, 3600s));
        keys.value("max_ttl", dns.max_ttl, whole_seconds(1s, 86'400s));
        keys.value("timeout", dns.timeout, duration(100ms, 1min));
        keys.value("addresses", dns.addresses, count(1, 256));
        in_order(keys, "min_ttl", dns.min_ttl, "max_ttl", dns.max_ttl);
    });
}

namespace {

void read_admin_tls(Keys& keys, std::optional<AdminTls>& tls) {
    auto& read = tls.emplace();
    keys.at("certificate").missing("a PEM file, leaf first");
    keys.at("private_key").missing("a PEM file");
    keys.file("certificate", read.certificate.certificate, "required in `tls`");
    keys.file("private_key", read.certificate.private_key, "required in `tls`");
    keys.file("client_ca", read.client_ca, "none");
    keys.value("min_version", read.min_version, tls_version(), "as `tls.min_version`");
}

}  // namespace

void read_admin(Keys& top, Config& config) {
    Admin& admin = config.admin;
    admin.listen = At<ListenAddress>{{"127.0.0.1", 9180}};
    const Field field = top.at("admin");
    if (field.is_word("off")) {
        admin.listen.reset();
        field.note_value("off");
        return;
    }
    field.list("a map, or off", "a map with the defaults below", false, schema::words({"off"}));
    // "token:secret" without a blank is no map, and is not repeated.
    const bool may_be_secret = field.is(Tree::Kind::text) && field.text().find(':') != std::string::npos;
    if (field.written() && !field.is(Tree::Kind::map)) return field.mismatch("a map, or off", {"off"}, may_be_secret);
    top.section("admin", [&](Keys& keys) {
        keys.value("listen", admin.listen, listen_address());
        keys.section("tls", [&](Keys& tls) { read_admin_tls(tls, admin.tls); });
        read_secret(keys.at("token"), admin.token, 8, "none");
        keys.list("allow", admin.allow, network(), 0, "none");
        keys.value("allow_loopback", admin.allow_loopback, flag());
        if (!admin.allow_loopback && admin.allow.empty())
            keys.at("allow_loopback").error("lets no client connect: want networks in allow beside it, found none");
        keys.file("state_file", admin.state_file, "`$STATE_DIRECTORY/overrides.json` under systemd, else none");
    });
    if (top.field().listing()) return;
    const auto same = std::find_if(config.listeners.begin(), config.listeners.end(),
                                   [&](const Listener& other) { return overlap(*other.address, **admin.listen); });
    if (same == config.listeners.end()) return;
    const bool written = admin.listen->mark.line > 0;
    field.reader().report(Severity::error, written ? admin.listen->mark : field.mark(), "admin.listen",
                          listens_twice(**admin.listen, same->address));
}

void read_log(Keys& top, Log& log) {
    top.section("log", [&](Keys& keys) {
        Form<std::string> access = file_name();
        access.wanted = "stdout, off or a file name";
        if (keys.value("access", log.access, access) && *log.access != "stdout" && *log.access != "off")
            log.access.value = resolved(keys.field().reader(), *log.access);
        keys.value("format", log.format, choice<LogFormat>({{"json", LogFormat::json}, {"logfmt", LogFormat::logfmt}}));
        read_query(keys.at("query"), log.query);
        Form<std::string> level =
            one_of_names("debug or info or warning or error", {"debug", "info", "warning", "error"});
        level.schema = schema::words(level.known);
        keys.value("level", log.level, level);
    });
}

void read_shutdown(Keys& top, Shutdown& shutdown) {
    top.section("shutdown", [&](Keys& keys) {
        keys.value("grace", shutdown.grace, duration(0ms, 1h));
        keys.value("drain", shutdown.drain, duration(0ms, 1h));
    });
}

}  // namespace nearhop::conf
