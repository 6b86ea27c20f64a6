#include "tests/conf/support.h"

#include <gtest/gtest.h>

namespace nearhop::conf {
namespace {

Config read(const std::string& yaml, const std::string& file = "/etc/nearhop/nearhop.yaml") {
    ParseResult result = parse(yaml, file);
    EXPECT_EQ(all_lines(result.problems), "");
    return result.config.value_or(Config{});
}

TEST(ShortForm, IsOneListenerOneSiteAndEveryDefault) {
    const Config config = read(base());
    EXPECT_EQ(config.file, "/etc/nearhop/nearhop.yaml");
    ASSERT_EQ(config.listeners.size(), 1U);
    EXPECT_EQ(config.listeners[0].address->address, "127.0.0.1");
    EXPECT_EQ(config.listeners[0].address->port, 443);
    EXPECT_EQ(config.listeners[0].kind, ListenerKind::https);
    EXPECT_EQ(config.listeners[0].address.mark.line, 1);
    ASSERT_EQ(config.tls.certificates.size(), 1U);
    EXPECT_EQ(*config.tls.certificates[0].certificate, "/etc/nearhop/c.pem");
    EXPECT_EQ(*config.tls.certificates[0].private_key, "/etc/nearhop/k.pem");
    ASSERT_EQ(config.origins.size(), 2U);
    EXPECT_EQ(config.origins[0].name, "us");
    EXPECT_EQ(config.origins[0].url->host, "us.example");
    EXPECT_EQ(config.origins[0].mark.line, 3);
    EXPECT_EQ(config.origins[0].url.path, "origins.us");
    ASSERT_EQ(config.sites.size(), 1U);
    EXPECT_EQ(config.sites[0].name, "default");
    EXPECT_TRUE(config.sites[0].is_default);
    EXPECT_EQ(config.sites[0].policy, Policy::nearest);
    ASSERT_EQ(config.sites[0].origins.size(), 2U);
    EXPECT_EQ(*config.sites[0].origins[1], "eu");
    ASSERT_TRUE(config.admin.listen);
    EXPECT_EQ((*config.admin.listen)->address, "127.0.0.1");
    EXPECT_EQ((*config.admin.listen)->port, 9180);
}

TEST(RateLimits, AreInheritedAndABurstIsTheRatesNumberUnlessWritten) {
    const Config config = read(base() +
                               "rate_limit: {address: 20/s, site: 600/m, site_burst: 50}\n"
                               "sites:\n"
                               "  a: {hosts: [a.test]}\n"
                               "  b: {hosts: [b.test], rate_limit: {address: 5/h}}\n"
                               "  c: {hosts: [c.test], rate_limit: {address: 'off', site_burst: 7}}\n");
    ASSERT_EQ(config.sites.size(), 3U);
    const RateLimit& inherited = config.sites[0].rate_limit;
    EXPECT_EQ(inherited.address, (Rate{20, 1s}));
    EXPECT_EQ(inherited.address_burst, 20U);
    EXPECT_EQ(inherited.site, (Rate{600, 60s}));
    EXPECT_EQ(inherited.site_burst, 50U);
    EXPECT_EQ(config.sites[1].rate_limit.address, (Rate{5, 3600s}));
    EXPECT_EQ(config.sites[1].rate_limit.address_burst, 5U);
    EXPECT_EQ(config.sites[1].rate_limit.site_burst, 50U);
    EXPECT_EQ(config.sites[2].rate_limit.address.count, 0U);
    EXPECT_EQ(config.sites[2].rate_limit.site_burst, 7U);
    EXPECT_EQ(read(base()).sites[0].rate_limit.address.count, 0U);
}

TEST(Hedge, IsOffATimeOrP95) {
    const Config config = read(base() +
                               "sites:\n"
                               "  a: {hosts: [a.test], hedge: 300ms}\n"
                               "  b: {hosts: [b.test], hedge: p95}\n"
                               "  c: {hosts: [c.test], hedge: off}\n"
                               "  d: {hosts: [d.test]}\n");
    EXPECT_EQ(config.sites[0].hedge, (Hedge{Hedge::Kind::after, 300ms}));
    EXPECT_EQ(config.sites[1].hedge.kind, Hedge::Kind::p95);
    EXPECT_EQ(config.sites[2].hedge, Hedge{});
    EXPECT_EQ(config.sites[3].hedge, Hedge{});
}

TEST(FullForm, ReadsListenersTrustAndAdmin) {
    const Config config = read(
        "listeners:\n"
        "  - {address: '0.0.0.0:443', proxy_protocol: {from: [10.0.0.0/8, 'fd00::/8']}, ready_path: /ready}\n"
        "  - {address: '[::]:80', protocol: http, plain: serve}\n"
        "tls:\n"
        "  certificates: [{certificate: a.pem, private_key: /k/a.key}, {certificate: b.pem, private_key: b.key}]\n"
        "  min_version: 1.3\n"
        "  ciphers: HIGH\n"
        "clients:\n"
        "  trusted: [10.0.0.0/8, {cidr: 192.0.2.1, secret_header: {name: X-S, value: long-enough}},\n"
        "    {ip_ranges: r.json, service: EC2, certificate: {san: 'DNS:a', fingerprint: '" +
        std::string(32, 'A') + ":" + std::string(32, '0') +
        "'}}]\n"
        "origins: {us: {url: 'http://[::1]:8080', region: us-east-1, coordinates: [38.9, -77.4], ca: ca.pem,\n"
        "               bias: -99, weight: 0}}\n"
        "admin: {listen: '0.0.0.0:9000', token: long-enough, allow: 10.0.0.0/8}\n"
        "log: {access: logs/access.log, format: json, level: debug}\n"
        "workers: 4\n");
    ASSERT_EQ(config.listeners.size(), 2U);
    ASSERT_EQ(config.listeners[0].proxy_protocol_from.size(), 2U);
    EXPECT_EQ(*config.listeners[0].proxy_protocol_from[1], "fd00::/8");
    EXPECT_EQ(config.listeners[0].ready_path, "/ready");
    EXPECT_EQ(config.listeners[1].kind, ListenerKind::http);
    EXPECT_EQ(config.listeners[1].plain, PlainPolicy::serve);
    ASSERT_EQ(config.tls.certificates.size(), 2U);
    EXPECT_EQ(*config.tls.certificates[0].private_key, "/k/a.key");
    EXPECT_EQ(*config.tls.certificates[1].certificate, "/etc/nearhop/b.pem");
    EXPECT_EQ(config.tls.min_version, TlsVersion::tls1_3);
    EXPECT_EQ(*config.tls.ciphers, "HIGH");
    ASSERT_EQ(config.clients.trusted.size(), 3U);
    EXPECT_EQ(**config.clients.trusted[0].cidr, "10.0.0.0/8");
    EXPECT_EQ(config.clients.trusted[1].secret_header, "X-S");
    EXPECT_EQ(config.clients.trusted[1].secret.value, "long-enough");
    EXPECT_EQ(*config.clients.trusted[2].ip_ranges, "/etc/nearhop/r.json");
    EXPECT_EQ(*config.clients.trusted[2].service, "EC2");
    EXPECT_TRUE(config.clients.trusted[2].certificate.given());
    EXPECT_EQ(config.clients.trusted[2].certificate.san, "DNS:a");
    EXPECT_EQ(config.clients.trusted[2].certificate.fingerprint, std::string(32, 'a') + std::string(32, '0'));
    EXPECT_FALSE(config.clients.trusted[1].certificate.given());
    const Origin& origin = config.origins.at(0);
    EXPECT_FALSE(origin.url->tls);
    EXPECT_EQ(origin.url->host, "::1");
    EXPECT_EQ(*origin.region, "us-east-1");
    EXPECT_EQ(origin.coordinates, (std::pair{38.9, -77.4}));
    EXPECT_EQ(*origin.ca, "/etc/nearhop/ca.pem");
    EXPECT_EQ(origin.bias, -99);
    EXPECT_EQ(origin.weight, 0U);
    EXPECT_EQ(config.admin.token.value, "long-enough");
    EXPECT_EQ(config.admin.allow.size(), 1U);
    EXPECT_EQ(*config.log.access, "/etc/nearhop/logs/access.log");
    EXPECT_EQ(*config.log.format, LogFormat::json);
    EXPECT_EQ(config.log.level, "debug");
    EXPECT_EQ(*config.workers, 4U);
}

TEST(FullForm, ReadsSitesRoutesAndCountries) {
    const Config config =
        read(base() +
             "server_timing: true\n"
             "sites:\n"
             "  a:\n"
             "    hosts: [W.Example., '*.example']\n"
             "    origins: [eu, us]\n"
             "    policy: country\n"
             "    groups: {dach: [de, AT]}\n"
             "    countries: {fr: eu, dach: {origins: [eu], only: true}, 'continent:as': [us, eu], default: us}\n"
             "    writes: us\n"
             "    host_header: Origin.example:8080\n"
             "    all_down: closed\n"
             "    deadline: 20s\n"
             "    body_limit: 1GiB\n"
             "    routes: [{path: /r, methods: POST, origins: us, head_timeout: 15s}, {}]\n"
             "  b: {default: true, policy: failover, server_timing: false, body_limit: 0}\n");
    ASSERT_EQ(config.sites.size(), 2U);
    const Site& a = config.sites[0];
    EXPECT_EQ(a.name, "a");
    EXPECT_FALSE(a.is_default);
    EXPECT_EQ(*a.hosts.at(0), "w.example");
    EXPECT_EQ(*a.hosts.at(1), "*.example");
    EXPECT_EQ(*a.origins.at(0), "eu");
    EXPECT_EQ(a.groups.at("dach"), (std::vector<std::string>{"DE", "AT"}));
    ASSERT_EQ(a.countries.size(), 4U);
    EXPECT_EQ(*a.countries[0].key, "FR");
    EXPECT_FALSE(a.countries[0].only);
    EXPECT_EQ(*a.countries[1].key, "dach");
    EXPECT_TRUE(a.countries[1].only);
    EXPECT_EQ(*a.countries[2].key, "continent:AS");
    EXPECT_EQ(a.countries[2].origins.size(), 2U);
    EXPECT_EQ(*a.writes.at(0), "us");
    EXPECT_EQ(a.host_header, "origin.example:8080");
    EXPECT_EQ(a.all_down, AllDown::closed);
    EXPECT_TRUE(a.server_timing);
    ASSERT_EQ(a.routes.size(), 2U);
    EXPECT_EQ(a.routes[0].path_prefix, "/r");
    EXPECT_EQ(a.routes[0].methods, std::vector<std::string>{"POST"});
    EXPECT_EQ(a.routes[0].limits.head_timeout, 15s);
    EXPECT_EQ(*a.routes[0].limits.deadline, 20s) << "a route inherits its site's limits";
    EXPECT_EQ(a.routes[0].limits.body_limit, 1U << 30);
    EXPECT_EQ(a.routes[1].path_prefix, "/");
    EXPECT_FALSE(config.sites[1].server_timing);
    EXPECT_EQ(config.sites[1].origins.size(), 2U);
}

TEST(Inheritance, TheLongestSilenceOfABodyIsTheRoutesElseTheSitesElseTheOneOfAll) {
    const Config config = read(base() +
                               "sites:\n"
                               "  a: {hosts: a.example, origin_body_timeout: 2m, routes: [{path: /events, "
                               "origin_body_timeout: 1h}, {path: /r}]}\n"
                               "  b: {default: true, routes: [{path: /r}]}\n"
                               "limits: {origin_body_timeout: 90s}\n");
    const Site& a = config.sites.at(0);
    const Site& b = config.sites.at(1);
    EXPECT_EQ(a.limits.origin_body_timeout, 2min);
    EXPECT_EQ(a.routes.at(0).limits.origin_body_timeout, 1h);
    EXPECT_EQ(a.routes.at(1).limits.origin_body_timeout, 2min);
    EXPECT_EQ(b.limits.origin_body_timeout, 90s) << "wherever `limits` stands";
    EXPECT_EQ(b.routes.at(0).limits.origin_body_timeout, 90s);
    EXPECT_EQ(read(base() + "limits: {origin_body_timeout: 5s}\n").sites.at(0).limits.origin_body_timeout, 5s);
    EXPECT_EQ(read(base()).sites.at(0).limits.origin_body_timeout, 1min);
}

TEST(Untrusted, IsTheSitesElseTheOneOfAll) {
    const Config config = read(base() +
                               "clients: {trusted: [10.0.0.0/8], untrusted: refuse}\n"
                               "sites: {a: {default: true}, b: {hosts: b.example, untrusted: serve}}\n");
    EXPECT_EQ(config.sites.at(0).untrusted, Untrusted::refuse);
    EXPECT_EQ(config.sites.at(1).untrusted, Untrusted::serve);
    EXPECT_EQ(read(base()).sites.at(0).untrusted, Untrusted::serve);
    EXPECT_EQ(read(base() + "clients: {trusted: [10.0.0.0/8]}\nsites: {a: {untrusted: refuse}}\n").sites[0].untrusted,
              Untrusted::refuse);
}

TEST(LogQuery, IsAWordOrTheNamesThatStay) {
    const auto query = [](const std::string& yaml) { return read(base() + "log: {query: " + yaml + "}\n").log.query; };
    EXPECT_EQ(read(base()).log.query.kind, LogQuery::Kind::keep);
    EXPECT_EQ(query("keep").kind, LogQuery::Kind::keep);
    EXPECT_EQ(query("drop").kind, LogQuery::Kind::drop);
    EXPECT_EQ(query("[page, sort]").kind, LogQuery::Kind::names);
    EXPECT_EQ(query("[page, sort]").names, (std::vector<std::string>{"page", "sort"}));
    EXPECT_EQ(query("[drop]").names, std::vector<std::string>{"drop"}) << "a parameter of this name";
}

TEST(Admin, IsForLoopbackUnlessSaidOtherwise) {
    EXPECT_TRUE(read(base() + "admin: {allow: 10.0.0.0/8}\n").admin.allow_loopback);
    EXPECT_FALSE(read(base() + "admin: {allow: 10.0.0.0/8, allow_loopback: false}\n").admin.allow_loopback);
}

TEST(FullForm, TakesSitesAsAListToo) {
    const Config config = read(base() + "sites: [{name: a, hosts: w.example}, {name: b, default: true}]\n");
    ASSERT_EQ(config.sites.size(), 2U);
    EXPECT_EQ(config.sites[0].name, "a");
    EXPECT_TRUE(config.sites[1].is_default);
}

TEST(FullForm, TheOnlySiteWithoutHostsIsTheDefault) {
    EXPECT_TRUE(read(base() + "sites: {a: {policy: latency}}\n").sites.at(0).is_default);
    EXPECT_FALSE(read(base() + "sites: {a: {hosts: w.example}}\n").sites.at(0).is_default);
}

TEST(Inheritance, OriginsTakeHealthFromTheTopWhereverItStands) {
    const Config config = read(
        "listen: 127.0.0.1:443\ntls: {certificate: c.pem, private_key: k.pem}\n"
        "origins:\n"
        "  us: {url: 'https://us.example', health: {path: /deep, jitter: 10}, passive: {enabled: false}}\n"
        "  eu: https://eu.example\n"
        "health: {path: /up, interval: 7s, statuses: [200, 300-301]}\n"
        "passive: {connect_failures: 9}\n");
    EXPECT_EQ(config.origins.at(0).health.path, "/deep");
    EXPECT_EQ(config.origins[0].health.interval, 7s);
    EXPECT_EQ(config.origins[0].health.jitter, 10U);
    EXPECT_FALSE(config.origins[0].passive.enabled);
    EXPECT_EQ(config.origins[0].passive.connect_failures, 9U);
    EXPECT_EQ(config.origins[1].health.path, "/up");
    EXPECT_EQ(config.origins[1].health.jitter, 20U);
    EXPECT_EQ(config.origins[1].health.statuses, (std::vector<std::pair<unsigned, unsigned>>{{200, 200}, {300, 301}}));
    EXPECT_TRUE(config.origins[1].passive.enabled);
}

TEST(Geo, ReadsDatabasesAndOverrides) {
    const Config config = read(base() +
                               "geo:\n"
                               "  databases: [own.mmdb, /data/city.mmdb]\n"
                               "  watch: 10s\n"
                               "  overrides:\n"
                               "    - {cidr: 10.1.0.0/16, country: gb}\n"
                               "    - {cidr: 10.2.0.0/16, point: [48.1, -11]}\n"
                               "    - {cidr: 10.3.0.0/16, origins: [eu, us]}\n");
    EXPECT_EQ(*config.geo.databases.at(0), "/etc/nearhop/own.mmdb");
    EXPECT_EQ(*config.geo.databases.at(1), "/data/city.mmdb");
    EXPECT_EQ(config.geo.watch, 10s);
    ASSERT_EQ(config.geo.overrides.size(), 3U);
    EXPECT_EQ(**config.geo.overrides[0].country, "GB");
    EXPECT_EQ(config.geo.overrides[1].point, (std::pair{48.1, -11.0}));
    EXPECT_EQ(*config.geo.overrides[2].origins.at(0), "eu");
}

TEST(Trust, TheUnsafeKeyAllowsEveryPeer) {
    const Config config = read(base() +
                               "clients:\n"
                               "  trusted: [0.0.0.0/0, '::/0', {secret_header: {name: X-S, value: long-enough}}]\n"
                               "  unsafe_trust_any_peer: true\n");
    EXPECT_EQ(config.clients.trusted.size(), 3U);
    EXPECT_FALSE(config.clients.trusted[2].cidr);
}

TEST(Admin, OffDisablesIt) {
    EXPECT_FALSE(read(base() + "admin: off\n").admin.listen);
    EXPECT_FALSE(read(base() + "admin: 'off'\n").admin.listen);
}

TEST(Admin, WithoutListenKeepsTheDefaultAddress) {
    const Config config = read(base() + "admin: {token: long-enough}\n");
    ASSERT_TRUE(config.admin.listen);
    EXPECT_EQ((*config.admin.listen)->port, 9180);
}

TEST(Files, AreRelativeToTheConfigurationFile) {
    EXPECT_EQ(*read(base(), "nearhop.yaml").tls.certificates.at(0).certificate, "c.pem");
    EXPECT_EQ(*read(base(), "conf/x.yaml").tls.certificates.at(0).certificate, "conf/c.pem");
    EXPECT_EQ(read(base() + "log: {access: 'off'}\n").log.access.value, "off");
}

TEST(HttpOnly, NeedsNoCertificate) {
    const Config config = read(
        "listeners: [{address: '127.0.0.1:0', protocol: http, plain: serve},\n"
        "            {address: '127.0.0.1:0', protocol: http, plain: serve}]\n"
        "origins: {us: 'http://us.example'}\n");
    EXPECT_EQ(config.listeners.size(), 2U) << "port 0 is another port each time";
    EXPECT_EQ(config.origins.at(0).url->port, 80);
}

}  // namespace
}  // namespace nearhop::conf
