#include "conf/forms.h"
#include "conf/syntax.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

/// Names, paths, words of HTTP and codes of places: values that stay texts.
namespace nearhop::conf {
namespace {

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

}  // namespace

Form<std::string> any_text() {
    return text_that("a text", [](const std::string& text) { return !text.empty(); });
}

Form<std::string> file_name() {
    return text_that("a file name", [](const std::string& text) {
        return !text.empty() && text.size() < 4096 && text.find('\0') == std::string::npos;
    });
}

/// What was found may be a secret in the wrong place.
Form<std::string> variable_name() {
    Form<std::string> form =
        text_that("the name of an environment variable, such as ORIGIN_SECRET", [](const std::string& text) {
            const auto is_name = [](char c) {
                return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
            };
            return !text.empty() && text.size() <= 256 && !(text[0] >= '0' && text[0] <= '9') &&
                   std::all_of(text.begin(), text.end(), is_name);
        });
    form.secret = true;
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

Form<std::string> agent_header() {
    Form<std::string> form = field_name();
    form.wanted += ", or off";
    return form;
}

Form<std::string> parameter_name() {
    return text_that("the name of a query's parameter, as it is sent", [](const std::string& text) {
        return text.size() <= 256 && is_field_value(text) && text.find_first_of("&=?# ") == std::string::npos;
    });
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

Form<std::string> request_field_name() {
    const Form<std::string> plain = field_name();
    return text_that(
        "the name of a header field that neither HTTP nor the edge itself uses", [plain](const std::string& text) {
            constexpr std::array<std::string_view, 12> ours{"VIA",
                                                            "FORWARDED",
                                                            "X-FORWARDED-FOR",
                                                            "X-FORWARDED-HOST",
                                                            "X-FORWARDED-PROTO",
                                                            "CDN-LOOP",
                                                            "X-REQUEST-ID",
                                                            "IDEMPOTENCY-KEY",
                                                            "MAX-FORWARDS",
                                                            "KEEP-ALIVE",
                                                            "PROXY-CONNECTION",
                                                            "SEC-WEBSOCKET-KEY"};
            std::string name = in_upper_case(text);
            std::replace(name.begin(), name.end(), '_', '-');  // some origins cannot tell them apart
            return text.size() <= 256 && is_token(text) && plain.read(name) && !name.starts_with("X-NEARHOP-") &&
                   std::find(ours.begin(), ours.end(), name) == ours.end();
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

Form<std::string> country() {
    return with(schema::matching("^[A-Za-z][A-Za-z]$"),
                Form<std::string>{"a country's two-letter ISO 3166 code, such as DE", country_from, itself});
}

Form<std::string> country_key(const std::vector<std::string>& groups) {
    std::vector<std::string> words{"default", "eu", "eea"};
    words.insert(words.end(), groups.begin(), groups.end());
    return {"a country such as DE, a group (eu, eea or your own), continent:EU (or AF, AN, AS, NA, OC, SA) or default",
            [words](const std::string& text) -> std::optional<std::string> {
                if (std::find(words.begin(), words.end(), text) != words.end()) return text;
                if (auto key = continent_key_from(text)) return key;
                return country_from(text);
            },
            itself, words};
}

Form<std::string> one_of_names(std::string wanted, std::vector<std::string> names) {
    Form<std::string> form =
        text_that(std::move(wanted), [known = std::set<std::string>{names.begin(), names.end()}](
                                         const std::string& text) { return known.contains(text); });
    form.known = std::move(names);
    return form;
}

}  // namespace nearhop::conf
