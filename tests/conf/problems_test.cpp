#include "tests/conf/support.h"
#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <fstream>

namespace nearhop::conf {
namespace {

TEST(Problems, AreAllListedAtOnceInFileOrder) {
    const auto result = parse(
        "listn: 127.0.0.1:443\n"
        "tls: {certificate: c.pem}\n"
        "origins:\n"
        "  us: {url: https://us.example/api, health: {timeout: 6s}}\n"
        "  us: https://two.example\n"
        "workers: many\n",
        "f");
    EXPECT_FALSE(result.config);
    EXPECT_EQ(all_lines(result.problems),
              "f:1:1: error: listeners: is missing: want listen: ADDRESS:PORT or a list of listeners\n"
              "f:1:1: error: listn: unknown key; did you mean \"listen\"?\n"
              "f:2:6: error: tls.private_key: is missing: want a PEM file\n"
              "f:4:13: error: origins.us.url: want https://HOST[:PORT] or http://HOST[:PORT] without user, path, query "
              "or fragment, found \"https://us.example/api\"\n"
              "f:4:55: warning: origins.us.health.timeout: a probe may take longer (6s) than the interval between two "
              "(5s): the next one starts late\n"
              "f:5:3: error: origins.us: duplicate key, first written in line 4\n"
              "f:6:10: error: workers: want a whole number from 0 to 1024, found \"many\"\n");
}

TEST(Problems, AnUnreadableFileIsOneLikeAnyOther) {
    const auto missing = parse_file("/nonexistent/nearhop.yaml");
    EXPECT_FALSE(missing.config);
    EXPECT_EQ(all_lines(missing.problems), "f: error: not readable: No such file or directory\n");
    EXPECT_EQ(all_lines(parse_file("/").problems), "f: error: want a file, found a folder\n");
    EXPECT_EQ(all_lines(parse_file("/dev/zero").problems),
              "f: error: the file is too large: want at most 1 MiB, found 1048577 bytes\n");
}

TEST(Problems, NeverRepeatASecret) {
    const auto result = parse(base() +
                                  "clients: {trusted: [{cidr: 10.0.0.0/8, secret_header: {name: X, value: hunter2}}]}\n"
                                  "admin: {token: hunter2}\n",
                              "f");
    EXPECT_EQ(result.problems.size(), 2U);
    EXPECT_EQ(all_lines(result.problems).find("hunter2"), std::string::npos);
}

TEST(Problems, AreOneLineWhateverTheNamesHold) {
    const auto result = parse(base() + "\"a\\nb\": 1\n\"a\\nb\": 2\n", "f");
    ASSERT_EQ(result.problems.size(), 2U);
    for (const auto& problem : result.problems) EXPECT_EQ(to_string(problem, "f").find('\n'), std::string::npos);
}

struct Row {
    const char* name;
    const char* yaml;    ///< appended to base(): its first line is line 4
    const char* place;   ///< line:column
    const char* expect;  ///< the rest of the message holds this
};
using tests::PrintTo;

class OneProblem : public testing::TestWithParam<Row> {
protected:
    void expect_it(const std::string& yaml, const std::string& severity) const {
        const auto result = parse(yaml, "f");
        EXPECT_EQ(result.config.has_value(), severity == "warning");
        ASSERT_EQ(result.problems.size(), 1U) << all_lines(result.problems);
        const std::string line = to_string(result.problems[0], "f");
        EXPECT_TRUE(line.starts_with(std::string{"f:"} + GetParam().place + ": " + severity + ": ")) << line;
        EXPECT_NE(line.find(GetParam().expect), std::string::npos) << line;
    }
};

std::string name_of(const testing::TestParamInfo<Row>& row) { return row.param.name; }

class Refused : public OneProblem {};
TEST_P(Refused, WithPlaceAndReason) { expect_it(base() + GetParam().yaml, "error"); }

INSTANTIATE_TEST_SUITE_P(Keys, Refused,
                         testing::Values(Row{"UnknownTop", "sitse: 1", "4:1",
                                             "sitse: unknown key; did you mean \"sites\"?"},
                                         Row{"UnknownFar", "gateways: 1", "4:1",
                                             "gateways: unknown key; known here: workers, clients, listen"},
                                         Row{"UnknownDeep", "health: {intervall: 5s}", "4:10",
                                             "health.intervall: unknown key; did you mean \"interval\"?"},
                                         Row{"NotAMap", "health: 5s", "4:9", "health: want a map, found \"5s\""},
                                         Row{"NothingThere", "health:", "4:1", "health: want a map, found nothing"},
                                         Row{"ListForAMap", "limits: [1]", "4:9", "limits: want a map, found a list"},
                                         Row{"MapForAText", "log: {level: {a: b}}", "4:14",
                                             "log.level: want debug or info or warning or error, found a map"}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(
    Values, Refused,
    testing::Values(
        Row{"NoUnit", "health: {interval: 5}", "4:20",
            "health.interval: want a duration with its unit (ms, s, m, h) from 100ms to 1h, found \"5\""},
        Row{"WrongUnit", "health: {interval: 5d}", "4:20", "found \"5d\""},
        Row{"TooLong", "health: {timeout: 2m}", "4:19", "from 10ms to 1m, found \"2m\""},
        Row{"PartOfASecond", "geo: {watch: 1500ms}", "4:14", "whole seconds"},
        Row{"SizeWithoutUnit", "limits: {head_bytes: 1024}", "4:22",
            "want a size with its unit (B, KiB, MiB, GiB) from 1KiB to 128KiB, found \"1024\""},
        Row{"SizeTooLarge", "limits: {head_bytes: 2MiB}", "4:22", "found \"2MiB\""},
        Row{"CountOutOfRange", "health: {fall: 0}", "4:16", "want a whole number from 1 to 100, found \"0\""},
        Row{"CountWithText", "health: {rise: 3x}", "4:16", "found \"3x\""},
        Row{"Jitter", "health: {jitter: 51%}", "4:18", "want percent from 0% to 50%, found \"51%\""},
        Row{"Flag", "server_timing: yes", "4:16", "want true or false, found \"yes\""},
        Row{"HedgeAtOnce", "sites: {a: {hedge: 5ms}}", "4:20",
            "want off, p95, or a duration with its unit (ms, s, m, h) from 10ms to 1m, found \"5ms\""},
        Row{"HedgeByAnotherQuantile", "sites: {a: {hedge: p99}}", "4:20", "found \"p99\""},
        Row{"RateWithoutTime", "rate_limit: {address: 20}", "4:23",
            "want a number per second, minute or hour such as 20/s, 600/m or 5/h, or off, found \"20\""},
        Row{"RateOfNothing", "rate_limit: {site: 0/s}", "4:20", "found \"0/s\""},
        Row{"RatePerDay", "rate_limit: {site: 5/d}", "4:20", "found \"5/d\""},
        Row{"RateWithText", "sites: {a: {rate_limit: {address: 5x/s}}}", "4:35", "found \"5x/s\""},
        Row{"BurstOfNoRate", "rate_limit: {address_burst: 5}", "4:29", "address_burst: has no meaning without address"},
        Row{"MemoryTooSmall", "limits: {memory: 1MiB}", "4:18", "from 16MiB to 1024GiB, or 0, found \"1MiB\""},
        Row{"Level", "log: {level: debg}", "4:14",
            "want debug or info or warning or error, found \"debg\"; did you mean \"debug\"?"},
        Row{"Format", "log: {format: xml}", "4:15", "want json or logfmt"},
        Row{"Status", "health: {statuses: [200, 600]}", "4:26", "health.statuses[1]: want a status from 100 to 599"},
        Row{"StatusRange", "health: {statuses: 299-200}", "4:20", "found \"299-200\""},
        Row{"NoStatus", "health: {statuses: []}", "4:20", "found an empty list"},
        Row{"ProbePath", "health: {path: health}", "4:16", "want a path that starts with /"},
        Row{"AdminWord", "admin: of", "4:8", "want a map, or off, found \"of\"; did you mean \"off\"?"},
        Row{"AdminForNobody", "admin: {allow_loopback: false}", "4:25",
            "admin.allow_loopback: lets no client connect: want networks in allow beside it, found none"},
        Row{"LogQuery", "log: {query: dropp}", "4:14",
            "log.query: want keep, drop, or a list of the names of parameters, found \"dropp\"; did you mean "
            "\"drop\"?"},
        Row{"LogQueryOfNothing", "log: {query: []}", "4:14", "found an empty list"},
        Row{"LogQueryParameter", "log: {query: [a=b]}", "4:15",
            "log.query[0]: want the name of a query's parameter, as it is sent, found \"a=b\""},
        Row{"AdminNetwork", "admin: {allow: [10.0.0.1/8]}", "4:17",
            "with no bit set after the prefix, found \"10.0.0.1/8\""},
        Row{"ControlWithoutKind", "isolation: {control: 10.0.0.2}", "4:22",
            "want tcp://ADDRESS:PORT or dns://ADDRESS, such as tcp://10.0.0.1:53, with a numeric address"},
        Row{"ControlByName", "isolation: {control: ['dns://resolver.example']}", "4:23", "isolation.control[0]: want"},
        Row{"ControlWithoutPort", "isolation: {control: ['tcp://10.0.0.2']}", "4:23", "found \"tcp://10.0.0.2\""},
        Row{"ControlTwice", "isolation: {control: ['dns://10.0.0.2', 'dns://10.0.0.2:53']}", "4:41",
            "isolation.control[1]"},
        Row{"ControlTooMany",
            "isolation: {control: ['dns://10.0.0.1', 'dns://10.0.0.2', 'dns://10.0.0.3', 'dns://10.0.0.4', "
            "'dns://10.0.0.5', 'dns://10.0.0.6', 'dns://10.0.0.7', 'dns://10.0.0.8', 'dns://10.0.0.9']}",
            "4:22", "want at most 8 targets, found 9"},
        Row{"DurationWithAFraction", "health: {interval: 1.5s}", "4:20",
            "found \"1.5s\"; whole numbers only, such as 1500ms for 1.5s"},
        Row{"PortTooLarge", "dns: {servers: ['127.0.0.1:99999']}", "4:17", "; a port is from 1 to 65535"},
        Row{"PortZero", "isolation: {control: ['tcp://10.0.0.1:0']}", "4:23", "; a port is from 1 to 65535"},
        Row{"DurationInTwoUnits", "geo: {watch: 1h30m}", "4:14", "; one number and one unit, such as 90m for 1h30m"},
        Row{"SizeWithABlank", "limits: {head_bytes: 32 KiB}", "4:22", "found \"32 KiB\"; no blank before the unit"},
        Row{"CountWithAFraction", "health: {fall: 2.5}", "4:16", "; whole numbers only"},
        Row{"PercentWithAFraction", "health: {jitter: 2.5%}", "4:18", "; whole numbers only"},
        Row{"UnlocatedTwice", "sites: {s: {unlocated: [nearest_to_edge, us]}}", "4:24",
            "want nearest_to_edge alone, or origins without it"},
        Row{"UnlocatedUnknown", "sites: {s: {unlocated: b}}", "4:24",
            "want an origin's name, one of this site's, or nearest_to_edge, found \"b\""},
        Row{"Unserved", "sites: {s: {unserved: warn}}", "4:23", "want error or warning, found \"warn\""},
        Row{"DnsServer", "dns: {servers: [localhost]}", "4:17", "dns.servers[0]: want a numeric address"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Together, Refused,
    testing::Values(
        Row{"BothListens", "listeners: [{address: '127.0.0.1:1'}]", "4:12", "want listen or listeners, found both"},
        Row{"AdminOnAListener", "admin: {listen: '127.0.0.1:443'}", "4:17",
            "listens twice on 127.0.0.1:443, first in line 1"},
        Row{"ConnectAboveTls", "failover: {connect_timeout: 3s}", "4:29",
            "want connect_timeout at most tls_timeout, found connect_timeout 3s and tls_timeout 2s (the default)"},
        Row{"Hold", "failback: {hold: 11m}", "4:18", "want hold at most hold_max"},
        Row{"HoldMin", "failback: {hold_min: 3m}", "4:22", "want hold_min at most hold"},
        Row{"RatioWindow", "passive: {ratio_window: 61s}", "4:25",
            "want a duration in whole seconds with its unit (s, m, h) from 1s to 1m, found \"61s\""},
        Row{"Control", "isolation: {interval_failing: 6s}", "4:31", "want interval_failing at most interval"},
        Row{"Backoff", "failover: {backoff: 1s}", "4:21", "want backoff at most backoff_max"},
        Row{"Ttl", "dns: {min_ttl: 2m}", "4:16", "want min_ttl at most max_ttl"},
        Row{"Ejection", "passive: {ejection_max: 4s}", "4:25", "want ejection at most ejection_max"},
        Row{"Target", "limits: {target_bytes: 64KiB}", "4:24", "want target_bytes at most head_bytes"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Trust, Refused,
    testing::Values(
        Row{"Everyone4", "clients: {trusted: [0.0.0.0/0]}", "4:21",
            "clients.unsafe_trust_any_peer: true allows it), found \"0.0.0.0/0\""},
        Row{"Everyone6", "clients: {trusted: ['::/0']}", "4:21", "found \"::/0\""},
        Row{"EveryoneMapped", "clients: {trusted: [{cidr: '::ffff:0:0/96'}]}", "4:28", "clients.trusted[0].cidr: want"},
        Row{"HostBits", "clients: {trusted: [10.0.0.1/8]}", "4:21", "with no bit set after the prefix"},
        Row{"RefusesEverybody", "clients: {untrusted: refuse}", "4:22",
            "clients.untrusted: refuses every request: want clients.trusted beside it, found none"},
        Row{"SiteRefusesEverybody", "sites: {a: {untrusted: refuse}}", "4:24",
            "sites.a.untrusted: refuses every request"},
        Row{"Untrusted", "clients: {untrusted: drop}", "4:22", "want serve or refuse, found \"drop\""},
        Row{"SecretOnly", "clients: {trusted: [{secret_header: {name: X-S, value: long-enough}}]}", "4:21",
            "trusts every peer that knows the secret: want cidr"},
        Row{"CertificateOnly", "clients: {trusted: [{certificate: {san: 'DNS:a.example'}}]}", "4:21",
            "trusts every peer that shows the certificate: want cidr"},
        Row{"CertificateOfNothing", "clients: {trusted: [{cidr: 10.0.0.0/8, certificate: {}}]}", "4:53",
            "want fingerprint or san or both, found neither"},
        Row{"Fingerprint", "clients: {trusted: [{cidr: 10.0.0.0/8, certificate: {fingerprint: 'ab:cd'}}]}", "4:67",
            "want a SHA-256 of 64 hex digits"},
        Row{"NameWithoutKind", "clients: {trusted: [{cidr: 10.0.0.0/8, certificate: {san: a.example}}]}", "4:59",
            "want an alternative name such as"},
        Row{"TwoNames", "clients: {trusted: [{cidr: 10.0.0.0/8, certificate: {san: 'DNS:a,DNS:b'}}]}", "4:59",
            "want an alternative name such as"},
        Row{"RangesWithoutService", "clients: {trusted: [{ip_ranges: r.json}]}", "4:21",
            "want ip_ranges and service, found one of them"},
        Row{"ServiceWithoutRanges", "clients: {trusted: [{cidr: 10.0.0.0/8, service: EC2}]}", "4:21",
            "want ip_ranges and service, found one of them"},
        Row{"RangesAndNetwork", "clients: {trusted: [{cidr: 10.0.0.0/8, ip_ranges: r.json, service: EC2}]}", "4:51",
            "want cidr or ip_ranges, found both"},
        Row{"ServiceInLowerCase", "clients: {trusted: [{ip_ranges: r.json, service: ec2}]}", "4:50",
            "want the name of a service in that file"},
        Row{"Neither", "clients: {trusted: [{}]}", "4:21",
            "want cidr, ip_ranges, certificate or secret_header, found none of them"},
        Row{"SecretWithoutValue", "clients: {trusted: [{cidr: 10.0.0.0/8, secret_header: {name: X-S}}]}", "4:55",
            "secret_header.value: is missing"},
        Row{"FieldName", "clients: {trusted: [{cidr: 10.0.0.0/8, secret_header: {name: 'X S', value: long-enough}}]}",
            "4:62", "want the name of a header field"},
        Row{"FramingField",
            "clients: {trusted: [{cidr: 10.0.0.0/8, secret_header: {name: Content-Length, value: long-enough}}]}",
            "4:62", "found \"Content-Length\""}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Geography, Refused,
    testing::Values(
        Row{"OverrideOfNothing", "geo: {overrides: [{cidr: 10.0.0.0/8}]}", "4:19",
            "want exactly one of country, point and origins, found 0"},
        Row{"OverrideTwice", "geo: {overrides: [{cidr: 10.0.0.0/8, country: DE, origins: us}]}", "4:19", "found 2"},
        Row{"SameNetwork", "geo: {overrides: [{cidr: 10.0.0.0/8, country: DE}, {cidr: 10.0.0.0/8, country: FR}]}",
            "4:52", "is a second entry for 10.0.0.0/8"},
        Row{"NoCidr", "geo: {overrides: [{country: DE}]}", "4:19", "geo.overrides[0].cidr: is missing"},
        Row{"Country", "geo: {overrides: [{cidr: 10.0.0.0/8, country: DEU}]}", "4:47",
            "want a country's two-letter ISO 3166 code, such as DE, found \"DEU\""},
        Row{"NoCountry", "geo: {overrides: [{cidr: 10.0.0.0/8, country: UK}]}", "4:47", "found \"UK\""},
        Row{"Latitude", "geo: {overrides: [{cidr: 10.0.0.0/8, point: [91, 0]}]}", "4:46",
            "geo.overrides[0].point[0]: want degrees from -90 to 90, found \"91\""},
        Row{"Longitude", "geo: {overrides: [{cidr: 10.0.0.0/8, point: [0, 181]}]}", "4:49", "degrees from -180 to 180"},
        Row{"NotANumber", "geo: {overrides: [{cidr: 10.0.0.0/8, point: [nan, 0]}]}", "4:46", "found \"nan\""},
        Row{"PointOfThree", "geo: {overrides: [{cidr: 10.0.0.0/8, point: [1, 2, 3]}]}", "4:45",
            "want [latitude, longitude] in degrees, found a list"},
        Row{"UnknownOrigin", "geo: {overrides: [{cidr: 10.0.0.0/8, origins: [uss]}]}", "4:48",
            "want an origin's name, found \"uss\"; did you mean \"us\"?"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Sites, Refused,
    testing::Values(
        Row{"Empty", "sites: {}", "4:8", "want at least one site, found an empty map"},
        Row{"SameHost", "sites: {a: {hosts: w.example}, b: {hosts: [x.example, W.example.]}}", "4:55",
            "the host w.example is taken by site a"},
        Row{"HostTwice", "sites: {a: {hosts: [w.example, W.example]}}", "4:32", "is listed twice: \"w.example\""},
        Row{"BadHost", "sites: {a: {hosts: 'w.example:443'}}", "4:20", "want a host name without port"},
        Row{"InnerWildcard", "sites: {a: {hosts: 'w.*.example'}}", "4:20", "found \"w.*.example\""},
        Row{"TwoDefaults", "sites: {a: {default: true}, b: {default: true}}", "4:29",
            "want one default site, found a and b"},
        Row{"Hostless", "sites: {a: {default: true}, b: {}}", "4:29",
            "sites.b: want hosts or default: true, found neither"},
        Row{"SameName", "sites: [{name: a, default: true}, {name: a, hosts: w.example}]", "4:35",
            "the name a is taken, in line 4"},
        Row{"NoName", "sites: [{hosts: w.example}]", "4:9", "sites[0].name: is missing"},
        Row{"SiteName", "sites: {'a b': {default: true}}", "4:9", "want a site's name"},
        Row{"Origin", "sites: {a: {origins: [us, ue]}}", "4:27",
            "sites.a.origins[1]: want an origin's name, found \"ue\"; did you mean \"us\"?"},
        Row{"OriginTwice", "sites: {a: {origins: [us, us]}}", "4:27", "is listed twice: \"us\""},
        Row{"Policy", "sites: {a: {policy: nearst}}", "4:21", "found \"nearst\"; did you mean \"nearest\"?"},
        Row{"Writes", "sites: {a: {origins: [us], writes: eu}}", "4:36",
            "sites.a.writes: want an origin's name, one of this site's, found \"eu\""},
        Row{"HostHeader", "sites: {a: {host_header: 'a b'}}", "4:26",
            "want client or origin or server_name or a host name"},
        Row{"AllDown", "sites: {a: {all_down: close}}", "4:23", "did you mean \"closed\"?"},
        Row{"CountryWithoutRows", "sites: {a: {policy: country}}", "4:12",
            "sites.a.countries: is missing: want rows of countries"},
        Row{"CountryKey", "sites: {a: {policy: country, countries: {DEU: us}}}", "4:42",
            "want a country such as DE, a group"},
        Row{"Continent", "sites: {a: {policy: country, countries: {'continent:XX': us}}}", "4:42",
            "continent:EU (or AF, AN, AS, NA, OC, SA) or default, found \"continent:XX\""},
        Row{"SecondRow", "sites: {a: {policy: country, countries: {de: us, DE: eu}}}", "4:50",
            "is a second row for DE"},
        Row{"RowOrigin", "sites: {a: {policy: country, countries: {DE: [eu, su]}}}", "4:51",
            "countries.DE[1]: want an origin's name, one of this site's, found \"su\"; did you mean"},
        Row{"RowWithoutOrigins", "sites: {a: {policy: country, countries: {DE: {only: true}}}}", "4:46",
            "countries.DE.origins: is missing"},
        Row{"GroupName", "sites: {a: {groups: {eea: [DE]}}}", "4:22", "want a group's name"},
        Row{"GroupCountry", "sites: {a: {groups: {dach: [DE, D1]}}}", "4:33",
            "sites.a.groups.dach[1]: want a country's"},
        Row{"RoutePath", "sites: {a: {routes: [{path: api}]}}", "4:29",
            "sites.a.routes[0].path: want a path that starts with /"},
        Row{"RouteQuery", "sites: {a: {routes: [{path: '/a?b'}]}}", "4:29", "holds no query"},
        Row{"RouteMethod", "sites: {a: {routes: [{methods: [get]}]}}", "4:33",
            "want a method in upper case, such as GET, found \"get\""},
        Row{"RouteOrigin", "sites: {a: {origins: [us], routes: [{origins: eu}]}}", "4:47",
            "one of this site's, found \"eu\""},
        Row{"RouteNotAMap", "sites: {a: {routes: [/api]}}", "4:22", "want a map, found \"/api\""},
        Row{"ReplayBuffer", "sites: {a: {replay_buffer: 2MiB}}", "4:28", "from 0 to 1MiB"}),
    name_of);

class Warned : public OneProblem {};
TEST_P(Warned, ButNotStopped) { expect_it(base() + GetParam().yaml, "warning"); }

INSTANTIATE_TEST_SUITE_P(
    Traps, Warned,
    testing::Values(
        Row{"ProbeTimeout", "health: {timeout: 6s}", "4:19",
            "health.timeout: a probe may take longer (6s) than the interval between two (5s)"},
        Row{"ProbeInterval", "health: {interval: 1s}", "4:20", "health.interval: a probe may take longer (2s)"},
        Row{"Deadline", "sites: {a: {deadline: 1s}}", "4:23",
            "sites.a.deadline: the deadline (1s) is shorter than one attempt may take (failover.tls_timeout)"},
        Row{"HeadTimeout", "sites: {a: {head_timeout: 30s}}", "4:12",
            "sites.a: the deadline (25s) is shorter than one attempt may take (head_timeout)"},
        Row{"RouteDeadline", "sites: {a: {routes: [{deadline: 5s}]}}", "4:33",
            "sites.a.routes[0].deadline: the deadline (5s)"},
        Row{"DefaultSite", "failover: {tls_timeout: 30s}", "1:1", "the deadline (25s)"},
        Row{"ControlIsThisMachine", "isolation: {control: 'tcp://127.0.0.1:53'}", "4:22",
            "tcp://127.0.0.1:53 is this machine: it answers even without a network"},
        Row{"IdleCountries", "sites: {a: {countries: {DE: us}}}", "4:24", "has no effect without policy: country"}),
    name_of);

class RefusedFile : public OneProblem {};
TEST_P(RefusedFile, WithPlaceAndReason) { expect_it(GetParam().yaml, "error"); }

INSTANTIATE_TEST_SUITE_P(
    Origins, RefusedFile,
    testing::Values(
        Row{"Path", "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {a: 'https://a.example/x'}",
            "3:14", "origins.a: want https://HOST[:PORT]"},
        Row{"Query",
            "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {a: {url: 'https://a.example?x'}}",
            "3:20", "origins.a.url: want https://HOST[:PORT]"},
        Row{"Scheme", "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {a: 'ftp://a.example'}",
            "3:14", "found \"ftp://a.example\""},
        Row{"User", "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {a: 'https://u@a.example'}",
            "3:14", "without user"},
        Row{"NoUrl", "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {a: {bias: 3}}", "3:14",
            "origins.a.url: is missing"},
        Row{"Name", "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {'a b': 'https://a.example'}",
            "3:11", "want an origin's name"},
        Row{"Twice",
            "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins:\n  a: https://a.example\n  a: "
            "https://b.example",
            "5:3", "origins.a: duplicate key, first written in line 4"},
        Row{"None", "listen: '[::]:443'\ntls: {certificate: c, private_key: k}", "1:1", "origins: is missing"},
        Row{"Empty", "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {}", "3:10",
            "want at least one origin, found an empty map"},
        Row{"Bias",
            "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {a: {url: 'https://a.example', bias: "
            "100}}",
            "3:47", "from -99 to 99"},
        Row{"Weight",
            "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {a: {url: 'https://a.example', "
            "weight: -1}}",
            "3:49", "from 0 to 1000"},
        Row{"Coordinates",
            "listen: '[::]:443'\ntls: {certificate: c, private_key: k}\norigins: {a: {url: 'https://a.example', "
            "coordinates: [-91, 0]}}",
            "3:55", "degrees from -90 to 90"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Listeners, RefusedFile,
    testing::Values(
        Row{"NoCertificate", "listen: 0.0.0.0:443\norigins: {a: 'https://a.example'}", "1:1",
            "tls: is missing: want certificate and private_key, for the https listener in line 1"},
        Row{"NoCertificateInAList",
            "listeners: [{address: '0.0.0.0:443'}]\ntls: {certificates: []}\norigins: {a: 'https://a.example'}", "2:6",
            "tls: is missing"},
        Row{"BothPairs",
            "listen: 0.0.0.0:443\ntls: {certificate: c, private_key: k, certificates: [{certificate: c, private_key: "
            "k}]}\norigins: {a: 'https://a.example'}",
            "2:53", "found both"},
        Row{"NoListener", "origins: {a: 'https://a.example'}", "1:1", "listeners: is missing"},
        Row{"EmptyList", "listeners: []\norigins: {a: 'https://a.example'}", "1:12", "listeners: is missing"},
        Row{"Name",
            "listeners: [{address: 'localhost:80', protocol: http}]\norigins: {a: 'https://a.example'}"
            "\nclients: {trusted: [10.0.0.0/8]}",
            "1:23", "want a numeric address and a port"},
        Row{"Twice",
            "listeners:\n- {address: '0.0.0.0:80', protocol: http}\n- {address: '0.0.0.0:80', protocol: "
            "http}\norigins: {a: 'https://a.example'}"
            "\nclients: {trusted: [10.0.0.0/8]}",
            "3:13", "listens twice on 0.0.0.0:80, first in line 2"},
        Row{"TwiceByAWildcard",
            "listeners:\n- {address: '0.0.0.0:80', protocol: http, plain: serve}\n"
            "- {address: '127.0.0.1:80', protocol: http, plain: serve}\norigins: {a: 'https://a.example'}",
            "3:13", "found 127.0.0.1:80 and, in line 2, 0.0.0.0:80: one includes the other"},
        Row{"TwiceByBothVersions",
            "listeners:\n- {address: '0.0.0.0:80', protocol: http, plain: serve}\n"
            "- {address: '[::]:80', protocol: http, plain: serve}\norigins: {a: 'https://a.example'}",
            "3:13", "found [::]:80 and, in line 2, 0.0.0.0:80"},
        Row{"AdminInAWildcard",
            "listeners: [{address: '0.0.0.0:9180', protocol: http, plain: serve}]\norigins: {a: 'https://a.example'}",
            "1:1", "admin.listen: want addresses that can be listened on side by side, found 127.0.0.1:9180"},
        Row{"PlainOnHttps",
            "listeners: [{address: '0.0.0.0:443', plain: serve}]\ntls: {certificate: c, private_key: k}\norigins: {a: "
            "'https://a.example'}",
            "1:45", "on a listener with protocol: http only"},
        Row{"RedirectPortOnHttps",
            "listeners: [{address: '0.0.0.0:443', redirect_port: 443}]\ntls: {certificate: c, private_key: "
            "k}\norigins: "
            "{a: 'https://a.example'}",
            "1:53", "on a listener that redirects only (protocol: http, plain: redirect)"},
        Row{"RedirectPortWhereServed",
            "listeners: [{address: '0.0.0.0:80', protocol: http, plain: serve, redirect_port: 443}]\norigins: {a: "
            "'https://a.example'}",
            "1:82", "on a listener that redirects only"},
        Row{"ProxyFromEveryone",
            "listeners: [{address: '0.0.0.0:80', protocol: http, proxy_protocol: {from: [0.0.0.0/0]}}]\norigins: {a: "
            "'https://a.example'}"
            "\nclients: {trusted: [10.0.0.0/8]}",
            "1:77", "proxy_protocol.from[0]: want"},
        Row{"ProxyFromNobody",
            "listeners: [{address: '0.0.0.0:80', protocol: http, proxy_protocol: {}}]\norigins: {a: "
            "'https://a.example'}"
            "\nclients: {trusted: [10.0.0.0/8]}",
            "1:69", "proxy_protocol.from: is missing"},
        Row{"ReadyPath",
            "listeners: [{address: '0.0.0.0:80', protocol: http, ready_path: ready}]\norigins: {a: "
            "'https://a.example'}"
            "\nclients: {trusted: [10.0.0.0/8]}",
            "1:65", "want a path that starts with /"},
        Row{"TlsVersion",
            "listen: 0.0.0.0:443\ntls: {certificate: c, private_key: k, min_version: 1.1}\norigins: {a: "
            "'https://a.example'}",
            "2:52", "want 1.2 or 1.3, found \"1.1\""}),
    name_of);

TEST(Redirects, ThatLeadInACircleOrToTheInnerPortAreWarnedOf) {
    const struct {
        const char* yaml;
        const char* expect;  ///< empty: nothing is warned of
    } rows[] = {
        {"listeners: [{address: '0.0.0.0:80', protocol: http}]\n",
         "listeners[0].address: redirects to https, but this edge has no https listener"},
        {"listeners: [{address: '0.0.0.0:8080', protocol: http, plain: serve}]\n", ""},
        {"listeners: [{address: '0.0.0.0:80', protocol: http}]\nclients: {trusted: [10.0.0.0/8]}\n", ""},
        {"listeners: [{address: '0.0.0.0:8443'}, {address: '0.0.0.0:8080', protocol: http}]\n",
         "listeners[1].address: redirects to https on port 8443, the edge's own: want redirect_port"},
        {"listeners: [{address: '0.0.0.0:8443'}, {address: '0.0.0.0:8080', protocol: http, redirect_port: 443}]\n", ""},
        {"listeners: [{address: '0.0.0.0:443'}, {address: '0.0.0.0:8080', protocol: http}]\n", ""},
        {"listeners: [{address: '0.0.0.0:0'}, {address: '0.0.0.0:0', protocol: http}]\n", ""},
    };
    for (const auto& [yaml, expect] : rows) {
        const auto result = parse(
            std::string{yaml} + "tls: {certificate: c, private_key: k}\norigins: {a: 'https://a.example'}\n", "f");
        EXPECT_TRUE(result.config) << yaml;
        const auto lines = all_lines(result.problems);
        EXPECT_EQ(result.problems.size(), *expect ? 1U : 0U) << yaml << lines;
        EXPECT_NE(lines.find(expect), std::string::npos) << yaml << lines;
    }
}

std::string with_origins(int count, const std::string& sites) {
    std::string yaml = "listen: 0.0.0.0:443\ntls: {certificate: c, private_key: k}\n" + sites + "origins:\n";
    for (int i = 0; i < count; ++i) yaml += "  o" + std::to_string(i) + ": https://a.example\n";
    return yaml;
}
std::string listed(int count) {
    std::string list;
    for (int i = 0; i < count; ++i) list += (i == 0 ? "o" : ", o") + std::to_string(i);
    return "[" + list + "]";
}

TEST(Problems, MoreThan64OriginsOfASiteAreRefused) {
    struct Given {
        const char* name;
        int origins;
        std::string sites;
        std::string expect;
    };
    const std::string many = "want at most 64 origins of one site, found ";
    const std::string unlisted = ": all that there are, for want of a list `origins`\n";
    const Given rows[] = {
        {"without sites", 64, "", ""},
        {"without sites", 65, "", "f:4:3: error: origins: " + many + "65" + unlisted},
        {"a site of all", 64, "sites: {a: {default: true}}\n", ""},
        {"a site of all", 96, "sites: {a: {default: true}}\n", "f:3:12: error: sites.a: " + many + "96" + unlisted},
        {"a list", 65, "sites: {a: {default: true, origins: " + listed(64) + "}}\n", ""},
        {"a list", 65, "sites: {a: {default: true, origins: " + listed(65) + "}}\n",
         "f:3:37: error: sites.a.origins: " + many + "65\n"},
        {"the second site", 80,
         "sites:\n  a: {default: true, origins: [o0]}\n  b:\n    hosts: b.example\n    origins: " + listed(70) + "\n",
         "f:7:14: error: sites.b.origins: " + many + "70\n"},
    };
    for (const auto& row : rows)
        EXPECT_EQ(all_lines(parse(with_origins(row.origins, row.sites), "f").problems), row.expect)
            << row.name << ' ' << row.origins;
}

TEST(Problems, MoreThan4096OriginsAreRefused) {
    const std::string site = "sites: {a: {default: true, origins: [o0]}}\n";
    EXPECT_EQ(all_lines(parse(with_origins(4'096, site), "f").problems), "");
    EXPECT_EQ(all_lines(parse(with_origins(4'097, site), "f").problems),
              "f:5:3: error: origins: want at most 4096 origins, found 4097\n");
}

}  // namespace
}  // namespace nearhop::conf
