#include "proxy/admin/query.h"

#include "conf/parse.h"
#include "proxy/admin/status_page.h"

#include <algorithm>
#include <set>

namespace nearhop::admin {
namespace {

int digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// A '%' without two hex digits stays a '%'.
std::string decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int high = text[i] == '%' && i + 2 < text.size() ? digit(text[i + 1]) : -1;
        const int low = high < 0 ? -1 : digit(text[i + 2]);
        if (low >= 0) {
            out += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            out += text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}

/// Takes the first pair off a query.
std::string_view next_pair(std::string_view& query) noexcept {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(pair.size() < query.size() ? pair.size() + 1 : pair.size());
    return pair;
}

}  // namespace

std::string query_value(std::string_view query, std::string_view key) {
    while (!query.empty()) {
        const std::string_view pair = next_pair(query);
        const std::size_t equals = pair.find('=');
        if (decoded(pair.substr(0, equals)) != key) continue;
        return equals == std::string_view::npos ? std::string{} : decoded(pair.substr(equals + 1));
    }
    return {};
}

std::string parameter_problem(std::initializer_list<std::string_view> queries, const std::vector<std::string>& known) {
    std::set<std::string> seen;
    for (std::string_view query : queries) {
        while (!query.empty()) {
            const std::string_view pair = next_pair(query);
            if (pair.empty()) continue;
            const std::string name = decoded(pair.substr(0, pair.find('=')));
            if (std::find(known.begin(), known.end(), name) == known.end()) {
                const std::string near = conf::near_miss(name, known);
                return "unknown parameter \"" + printable(name.substr(0, 64)) + '"' +
                       (near.empty() ? "" : "; did you mean \"" + near + "\"?");
            }
            if (!seen.insert(name).second) return "want " + name + " once, found it twice";
        }
    }
    return {};
}

}  // namespace nearhop::admin
