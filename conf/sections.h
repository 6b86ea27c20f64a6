#pragma once

#include "conf/config.h"
#include "conf/reader.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The parts of the file, each read from the top-level keys into its part of the Config. Called in this order by
/// parse.cpp: a later part may look at an earlier one (sites name origins, origins inherit `health`).
namespace nearhop::conf {

void read_config(Keys& top, Config& config);  ///< all of them; also for a configuration inside another file

void read_clients(Keys& top, Config& config);
void read_listeners(Keys& top, Config& config);
void read_tls(Keys& top, Config& config);
void read_origins(Keys& top, Config& config);  ///< with `health` and `passive`
void read_geo(Keys& top, Config& config);
void read_failover(Keys& top, Failover& failover);
void read_failback(Keys& top, Failback& failback);
void read_isolation(Keys& top, Config& config);     ///< after the origins: a target should not be one of them
void read_rate_limit(Keys& top, RateLimit& limit);  ///< before the sites, which inherit it
void read_limits(Keys& top, Limits& limits);        ///< before the sites as well
void read_sites(Keys& top, Config& config);
void read_http2(Keys& top, Http2& http2);
void read_dns(Keys& top, Dns& dns);
void read_admin(Keys& top, Config& config);
void read_log(Keys& top, Log& log);
void read_shutdown(Keys& top, Shutdown& shutdown);

/// The problem of `untrusted: refuse` without an entry in clients.trusted.
inline constexpr const char* refuses_everybody = "refuses every request: want clients.trusted beside it, found none";

/// `checks` of a probe; what is written replaces what `checks` held.
void read_checks(Keys& probe, std::vector<Check>& checks);

/// The problem of listening on `here` beside `first`, if they overlap().
std::string listens_twice(const ListenAddress& here, const At<ListenAddress>& first);
/// Its text, or what a map with `file` or `env` names; lists the key. False when there is none or something is wrong.
bool read_secret(const Field& field, Secret& secret, std::size_t least, std::string otherwise);

/// Names of request fields with their values; what is written replaces what `fields` held.
void read_header_fields(Keys& keys, std::string_view key, std::vector<HeaderField>& fields);
void read_origin_headers(Keys& origin, OriginHeaders& headers);

/// `[latitude, longitude]`.
bool read_point(Keys& keys, std::string_view key, std::optional<std::pair<double, double>>& point);

std::vector<std::string> names_of(const std::vector<Origin>& origins);

}  // namespace nearhop::conf
