#include "conf/forms.h"

#include "conf/syntax.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace nearhop::conf {
namespace {

template <class T>
std::string decimal(const T& value) {
    return std::to_string(value);
}

std::string itself(const std::string& text) { return text; }

/// A form whose value is the text itself, as it is.
template <class Check>
Form<std::string> text_that(std::string wanted, const Check& check) {
    return {std::move(wanted),
            [check](const std::string& text) { return check(text) ? std::optional{text} : std::nullopt; }, itself};
}

template <class T>
Form<T> number(T min, T max, const std::string& what) {
    return {what + " from " + decimal(min) + " to " + decimal(max),
            [min, max](const std::string& text) -> std::optional<T> {
                T value{};
                const char* end = text.data() + text.size();
                const auto [stop, error] = std::from_chars(text.data(), end, value);
                if (error != std::errc{} || stop != end || value < min || value > max) return std::nullopt;
                return value;
            },
            decimal<T>,
            {},
            false,
            schema::integers(decimal(min), decimal(max))};
}

/// The same form with another schema.
template <class T>
Form<T> with(std::string schema, Form<T> form) {
    form.schema = std::move(schema);
    return form;
}

std::string duration_schema() { return schema::matching("^[0-9]+(ms|s|m|h)$"); }

bool is_name(const std::string& text) {
    return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    });
}

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

std::string in_upper_case(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), upper);
    return text;
}

/// Two letters in upper case. Whether such a country exists is asked by the pass that knows the catalogue; the codes
/// that look like one and never are, are refused here.
std::optional<std::string> country_from(const std::string& text) {
    constexpr std::array<std::string_view, 6> none{"UK", "EU", "AP", "XX", "ZZ", "AA"};
    const std::string code = in_upper_case(text);
    const bool letters = code.size() == 2 && code[0] >= 'A' && code[0] <= 'Z' && code[1] >= 'A' && code[1] <= 'Z';
    if (!letters || std::find(none.begin(), none.end(), code) != none.end()) return std::nullopt;
    return code;
}

constexpr std::string_view continent_prefix = "continent:";

std::optional<std::string> continent_key_from(const std::string& text) {
    constexpr std::array<std::string_view, 7> continents{"AF", "AN", "AS", "EU", "NA", "OC", "SA"};
    const std::string code = in_upper_case(text.substr(std::min(text.size(), continent_prefix.size())));
    if (!text.starts_with(continent_prefix) ||
        std::find(continents.begin(), continents.end(), code) == continents.end())
        return std::nullopt;
    return std::string{continent_prefix} + code;
}

std::optional<std::pair<unsigned, unsigned>> statuses_from(const std::string& text) {
    const auto dash = text.find('-');
    const auto low = integer_from(std::string_view{text}.substr(0, dash));
    const auto high = dash == std::string::npos ? low : integer_from(std::string_view{text}.substr(dash + 1));
    if (!low || !high || *low < 100 || *high > 599 || *low > *high) return std::nullopt;
    return std::pair{static_cast<unsigned>(*low), static_cast<unsigned>(*high)};
}

}  // namespace

Form<milliseconds> duration(milliseconds min, milliseconds max) {
    return {"a duration with its unit (ms, s, m, h) from " + to_string(min) + " to " + to_string(max),
            [min, max](const std::string& text) {
                const auto value = duration_from(text);
                return value && *value >= min && *value <= max ? value : std::nullopt;
            },
            [](const milliseconds& value) { return to_string(value); },
            {},
            false,
            duration_schema()};
}

Form<Hedge> hedge() {
    const Form<milliseconds> after = duration(10ms, 1min);
    return {"off, p95, or " + after.wanted,
            [read = after.read](const std::string& text) -> std::optional<Hedge> {
                if (text == "off") return Hedge{};
                if (text == "p95") return Hedge{Hedge::Kind::p95, 0ms};
                const auto time = read(text);
                return time ? std::optional{Hedge{Hedge::Kind::after, *time}} : std::nullopt;
            },
            [](const Hedge& value) {
                return value.kind == Hedge::Kind::off   ? std::string{"off"}
                       : value.kind == Hedge::Kind::p95 ? std::string{"p95"}
                                                        : to_string(value.after);
            },
            {"off", "p95"},
            false,
            schema::matching("^([0-9]+(ms|s|m|h)|off|p95)$")};
}

Form<seconds> whole_seconds(seconds min, seconds max) {
    return {"a duration in whole seconds with its unit (s, m, h) from " + to_string(milliseconds{min}) + " to " +
                to_string(milliseconds{max}),
            [min, max](const std::string& text) -> std::optional<seconds> {
                const auto value = duration_from(text);
                if (!value || *value < min || *value > max || *value % 1s != 0ms) return std::nullopt;
                return std::chrono::duration_cast<seconds>(*value);
            },
            [](const seconds& value) { return to_string(milliseconds{value}); },
            {},
            false,
            duration_schema()};
}

Form<Rate> rate() {
    return {"so many a second, minute or hour such as 20/s, 600/m or 5/h, or off",
            [](const std::string& text) -> std::optional<Rate> {
                if (text == "off") return Rate{};
                const auto slash = text.find('/');
                const auto many = integer_from(std::string_view{text}.substr(0, slash));
                if (slash == std::string::npos || slash + 2 != text.size() || !many || *many < 1 || *many > 1'000'000)
                    return std::nullopt;
                const auto count = static_cast<unsigned>(*many);
                switch (text.back()) {
                    case 's': return Rate{count, 1s};
                    case 'm': return Rate{count, 60s};
                    case 'h': return Rate{count, 3600s};
                    default: return std::nullopt;
                }
            },
            [](const Rate& value) {
                if (value.count == 0) return std::string{"off"};
                return decimal(value.count) + (value.per == 1s ? "/s" : value.per == 60s ? "/m" : "/h");
            },
            {"off"},
            false,
            schema::matching("^([1-9][0-9]*/[smh]|off)$")};
}

Form<std::uint64_t> size(std::uint64_t min, std::uint64_t max) {
    return {"a size with its unit (B, KiB, MiB, GiB) from " + size_to_string(min) + " to " + size_to_string(max),
            [min, max](const std::string& text) {
                const auto value = size_from(text);
                return value && *value >= min && *value <= max ? value : std::nullopt;
            },
            [](const std::uint64_t& value) { return size_to_string(value); },
            {},
            false,
            min > 0 ? schema::matching("^[0-9]+(B|KiB|MiB|GiB)$")
                    : R"("type": ["string", "integer"], "pattern": "^([0-9]+(B|KiB|MiB|GiB)|0)$", "minimum": 0, )"
                      R"("maximum": 0)"};
}

Form<std::uint64_t> size_or_unlimited(std::uint64_t max) {
    Form<std::uint64_t> form = size(0, max);
    form.wanted = "a size with its unit (B, KiB, MiB, GiB) up to " + size_to_string(max) + ", or 0 for unlimited";
    return form;
}

Form<std::uint64_t> size_or_zero(std::uint64_t min, std::uint64_t max) {
    Form<std::uint64_t> form = size(0, max);
    form.wanted =
        "a size with its unit (B, KiB, MiB, GiB) from " + size_to_string(min) + " to " + size_to_string(max) + ", or 0";
    form.read = [min, plain = form.read](const std::string& text) {
        const auto value = plain(text);
        return value && (*value == 0 || *value >= min) ? value : std::nullopt;
    };
    return form;
}

Form<std::uint64_t> count64(std::uint64_t min, std::uint64_t max) { return number(min, max, "a whole number"); }
Form<unsigned> count(unsigned min, unsigned max) { return number(min, max, "a whole number"); }
Form<int> integer(int min, int max) { return number(min, max, "a whole number"); }

Form<unsigned> percent(unsigned min, unsigned max) {
    Form<unsigned> form = number(min, max, "percent");
    form.wanted = "percent from " + decimal(min) + "% to " + decimal(max) + '%';
    form.read = [plain = form.read](const std::string& text) {
        return plain(text.ends_with('%') ? text.substr(0, text.size() - 1) : text);
    };
    form.print = [](const unsigned& value) { return decimal(value) + '%'; };
    form.schema = R"("type": ["integer", "string"], "pattern": "^[0-9]+%?$", "minimum": )" + decimal(min) +
                  R"(, "maximum": )" + decimal(max);
    return form;
}

Form<double> degrees(double limit) {
    const std::string text_limit = std::to_string(static_cast<std::int64_t>(limit));
    return {"degrees from -" + text_limit + " to " + text_limit,
            [limit](const std::string& text) -> std::optional<double> {
                double value = 0;
                const char* end = text.data() + text.size();
                const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
                if (error != std::errc{} || stop != end || !std::isfinite(value) || std::abs(value) > limit)
                    return std::nullopt;
                return value;
            },
            decimal<double>,
            {},
            false,
            R"("type": "number", "minimum": -)" + text_limit + R"(, "maximum": )" + text_limit};
}

/// YAML 1.1's on/off/yes/no are not taken: one spelling.
Form<bool> flag() { return with(R"("type": "boolean")", choice<bool>({{"true", true}, {"false", false}})); }

Form<std::string> any_text() {
    return text_that("a text", [](const std::string& text) { return !text.empty(); });
}

Form<std::string> file_name() {
    return text_that("a file name", [](const std::string& text) {
        return !text.empty() && text.size() < 4096 && text.find('\0') == std::string::npos;
    });
}

Form<std::string> secret_text() {
    Form<std::string> form = text_that("a text of visible ASCII characters, at least 8", [](const std::string& text) {
        return text.size() >= 8 && is_field_value(text);
    });
    form.secret = true;
    form.schema = std::string{schema::text} + R"(, "minLength": 8)";
    return form;
}

Form<std::string> path() {
    return with(schema::matching("^/[^# ]*$"), text_that("a path that starts with / and holds neither # nor spaces",
                                                         [](const std::string& text) { return is_path(text); }));
}

Form<std::string> prefix() {
    return with(schema::matching("^/[^?# ]*$"),
                text_that("a path that starts with / and holds no query, # or spaces", [](const std::string& text) {
                    return is_path(text) && text.find('?') == std::string::npos;
                }));
}

Form<std::string> path_pattern() {
    return with(
        schema::matching("^/[^?# ]*$"),
        text_that("a path such as /files/* (everything there) or /files (that one alone)", [](const std::string& text) {
            const auto star = text.find('*');
            return is_path(text) && text.find('?') == std::string::npos &&
                   (star == std::string::npos || (star + 1 == text.size() && text[star - 1] == '/'));
        }));
}

Form<std::string> need_or_path() {
    const std::vector<std::string> words{"note", "degraded", "writes", "down"};
    Form<std::string> form =
        text_that("note or degraded or writes or down, or paths such as /files/*", [words](const std::string& text) {
            return path_pattern().read(text) || std::find(words.begin(), words.end(), text) != words.end();
        });
    form.known = words;
    form.schema = schema::matching("^(note|degraded|writes|down|/[^?# ]*)$");
    return form;
}

Form<double> bound() {
    Form<double> form = degrees(1e15);
    form.wanted = "a number";
    form.print = [](const double& value) {
        std::array<char, 64> text{};
        return std::string(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
    };
    form.schema = R"("type": "number")";
    return form;
}

Form<std::string> agent_header() {
    Form<std::string> form = field_name();
    form.wanted += ", or off";
    return form;
}

Form<std::string> method() {
    Form<std::string> form = text_that("a method in upper case, such as GET", [](const std::string& text) {
        return text.size() <= 32 && is_token(text) &&
               std::none_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    });
    form.schema = schema::matching("^[^a-z ]{1,32}$");
    form.known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    return form;
}

Form<std::string> upgrade_protocol() {
    // A tunnel of HTTP or TLS would carry requests past every rule of this configuration.
    const std::string wanted = "a protocol for Upgrade in lower case, such as websocket, but not h2c, http or tls";
    Form<std::string> form = text_that(wanted, [](const std::string& text) {
        const auto slash = text.find('/');
        const std::string name = text.substr(0, slash);
        constexpr std::array<std::string_view, 5> refused{"h2c", "h2", "http", "https", "tls"};
        const bool named = text.size() <= 64 && is_token(name) &&
                           std::none_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
        return named && (slash == std::string::npos || is_token(text.substr(slash + 1))) &&
               std::find(refused.begin(), refused.end(), name) == refused.end();
    });
    form.schema = schema::matching("^[^A-Z ]{1,64}$");
    form.known = {"websocket"};
    return form;
}

Form<std::string> field_name() {
    return text_that("the name of a header field that is not used by HTTP itself", [](const std::string& text) {
        constexpr std::array<std::string_view, 8> taken{"HOST",    "CONNECTION",        "CONTENT-LENGTH", "TE",
                                                        "UPGRADE", "TRANSFER-ENCODING", "TRAILER",        "EXPECT"};
        return is_token(text) && std::find(taken.begin(), taken.end(), in_upper_case(text)) == taken.end();
    });
}

Form<std::string> origin_name() { return text_that("an origin's name: 1 to 64 of A-Z a-z 0-9 . _ -", is_name); }

Form<std::string> site_name() { return text_that("a site's name: 1 to 64 of A-Z a-z 0-9 . _ -", is_name); }

Form<std::string> group_name() {
    return text_that("a group's name: 3 to 64 of A-Z a-z 0-9 . _ -, but not default or eea",
                     [](const std::string& text) {
                         return text.size() >= 3 && is_name(text) && text != "default" && text != "eea";
                     });
}

Form<std::string> site_host() {
    return {"a host name without port, such as www.example.com or *.example.com",
            [](const std::string& text) { return site_host_from(text); }, itself};
}

Form<std::string> host_field() {
    return {"HOST or HOST:PORT", [](const std::string& text) { return host_field_from(text); }, itself};
}

Form<std::string> host_header() {
    Form<std::string> form = host_field();
    form.wanted = "client or origin or a host name";
    return form;
}

Form<std::string> network() {
    return {"an address or a network such as 10.0.0.0/8 or 2001:db8::/32, with no bit set behind the prefix",
            [](const std::string& text) {
                const auto parsed = network_from(text);
                return parsed ? std::optional{parsed->text} : std::nullopt;
            },
            itself};
}

Form<std::string> peer_network(bool everyone_too) {
    Form<std::string> form = network();
    if (everyone_too) return form;
    form.wanted += ", that does not hold every address (clients.unsafe_trust_any_peer: true allows it)";
    form.read = [](const std::string& text) {
        const auto parsed = network_from(text);
        return parsed && !parsed->everyone ? std::optional{parsed->text} : std::nullopt;
    };
    return form;
}

Form<std::string> aws_service() {
    return with(
        schema::matching("^[A-Z0-9_]{1,64}$"),
        text_that("the name of a service in that file, such as CLOUDFRONT_ORIGIN_FACING", [](const std::string& text) {
            return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
                return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
            });
        }));
}

Form<std::string> fingerprint() {
    return {"a SHA-256 of 64 hex digits, with or without colons",
            [](std::string text) -> std::optional<std::string> {
                std::erase(text, ':');
                for (char& c : text) {
                    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
                    if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return std::nullopt;
                }
                return text.size() == 64 ? std::optional{text} : std::nullopt;
            },
            itself,
            {},
            false,
            schema::matching("^[0-9A-Fa-f:]{64,95}$")};
}

Form<std::string> alternative_name() {
    return with(schema::matching("^(DNS|URI|email):[^ ,]+$"),
                text_that("an alternative name such as DNS:cdn.example or URI:spiffe://example/cdn",
                          [](const std::string& text) {
                              const auto colon = text.find(':');
                              const std::string kind = text.substr(0, colon);
                              return (kind == "DNS" || kind == "URI" || kind == "email") && colon + 1 < text.size() &&
                                     text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) {
                                         return c > ' ' && c < '\x7f' && c != ',';
                                     });
                          }));
}

Form<std::string> country() {
    return with(schema::matching("^[A-Za-z][A-Za-z]$"),
                Form<std::string>{"a country's two-letter ISO 3166 code, such as DE", country_from, itself});
}

Form<std::string> country_key(const std::vector<std::string>& groups) {
    std::vector<std::string> words{"default", "eu", "eea"};
    words.insert(words.end(), groups.begin(), groups.end());
    return {"a country such as DE, a group (eu, eea or an own one), continent:XX or default",
            [words](const std::string& text) -> std::optional<std::string> {
                if (std::find(words.begin(), words.end(), text) != words.end()) return text;
                if (auto key = continent_key_from(text)) return key;
                return country_from(text);
            },
            itself, words};
}

Form<std::string> dns_server() {
    return {"a numeric address, or one with a port such as 127.0.0.1:53 or [::1]:53",
            [](const std::string& text) -> std::optional<std::string> {
                if (is_ipv4(text) || is_ipv6(text)) return text;
                const auto address = listen_address_from(text);
                return address && address->port != 0 ? std::optional{to_string(*address)} : std::nullopt;
            },
            itself};
}

Form<std::string> one_of_names(std::string wanted, std::vector<std::string> names) {
    Form<std::string> form = text_that(std::move(wanted), [names](const std::string& text) {
        return std::find(names.begin(), names.end(), text) != names.end();
    });
    form.known = std::move(names);
    return form;
}

Form<ListenAddress> listen_address() {
    return {"a numeric address and a port, such as 0.0.0.0:443 or [::]:443",
            [](const std::string& text) { return listen_address_from(text); },
            [](const ListenAddress& address) { return to_string(address); },
            {},
            false,
            schema::matching("^.+:[0-9]{1,5}$")};
}

Form<ControlTarget> control_target() {
    return {"tcp://ADDRESS:PORT or dns://ADDRESS, such as tcp://10.0.0.1:53, with a numeric address",
            [](const std::string& text) { return control_target_from(text); },
            [](const ControlTarget& target) { return to_string(target); },
            {},
            false,
            schema::matching("^(tcp|dns)://.+$")};
}

Form<OriginUrl> origin_url() {
    return {"https://HOST[:PORT] or http://HOST[:PORT] without user, path, query or fragment",
            [](const std::string& text) { return origin_url_from(text); },
            [](const OriginUrl& url) { return to_string(url); },
            {},
            false,
            schema::matching("^[A-Za-z]+://[^/?#@]+/?$")};
}

Form<std::pair<unsigned, unsigned>> statuses() {
    return {"a status from 100 to 599 or a range such as 200-299",
            statuses_from,
            [](const std::pair<unsigned, unsigned>& range) {
                return range.first == range.second ? decimal(range.first)
                                                   : decimal(range.first) + '-' + decimal(range.second);
            },
            {},
            false,
            R"("type": ["integer", "string"], "minimum": 100, "maximum": 599, )"
            R"("pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$")"};
}

Form<ClientCertificates> client_certificates() {
    return choice<ClientCertificates>({{"none", ClientCertificates::none},
                                       {"optional", ClientCertificates::optional},
                                       {"required", ClientCertificates::required}});
}

Form<TlsVersion> tls_version() {
    return choice<TlsVersion>({{"1.2", TlsVersion::tls1_2}, {"1.3", TlsVersion::tls1_3}});
}

}  // namespace nearhop::conf
