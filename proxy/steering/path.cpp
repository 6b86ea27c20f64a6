#include "proxy/steering/path.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace nearhop::steering {
namespace {

int hex(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// The byte that `path` spells with the three characters at `at`; -1: none.
int escaped(std::string_view path, std::size_t at) noexcept {
    if (path[at] != '%' || at + 2 >= path.size()) return -1;
    const int high = hex(path[at + 1]);
    const int low = hex(path[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool is_unreserved(int byte) noexcept {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

/// Whether a path has one form and one reading only.
bool is_plain(std::string_view path) noexcept {
    for (std::size_t i = 0; i < path.size(); ++i) {
        const char c = path[i];
        if (c == '%' || c == '\\' || c == ';') return false;
        if (c != '/' || i + 1 == path.size()) continue;
        const char next = path[i + 1];
        if (next == '/') return false;
        if (next == '.' && (i + 2 == path.size() || path[i + 2] == '/' || path[i + 2] == '.')) return false;
    }
    return true;
}

/// RFC 3986 section 5.2.4, in place; empty segments go as well.
void remove_segments(std::string& path) {
    std::size_t end = 1;  // of what is done: it always ends with a slash here
    for (std::size_t from = 1; from < path.size();) {
        const std::size_t slash = std::min(path.find('/', from), path.size());
        const std::string_view segment{path.data() + from, slash - from};
        if (segment == "..") {
            if (end > 1) end = path.rfind('/', end - 2) + 1;
        } else if (!segment.empty() && segment != ".") {
            const std::size_t size = std::min(segment.size() + 1, path.size() - from);  // with its slash, if it has one
            std::copy_n(path.begin() + static_cast<std::ptrdiff_t>(from), size,
                        path.begin() + static_cast<std::ptrdiff_t>(end));
            end += size;
        }
        from = slash + 1;
    }
    path.resize(end);
}

}  // namespace

PathForm normalize_path(std::string_view path, conf::EncodedSlashes slashes, std::string& into) {
    if (is_plain(path)) return PathForm::as_sent;
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    out.reserve(path.size());
    for (std::size_t i = 0; i < path.size(); ++i) {
        const char c = path[i];
        const int byte = escaped(path, i);
        if (c == '%' && byte <= 0) return PathForm::bad_percent;
        if (c == '\\' || byte == '/' || byte == '\\') {
            if (slashes == conf::EncodedSlashes::refuse) return PathForm::encoded_slash;
            if (slashes == conf::EncodedSlashes::decode) {
                out += '/';
                i += c == '%' ? 2 : 0;
                continue;
            }
        }
        if (c != '%') {
            out += c;
            continue;
        }
        if (is_unreserved(byte)) {
            out += static_cast<char>(byte);
        } else {
            out += '%';
            out += digits[byte / 16];
            out += digits[byte % 16];
        }
        i += 2;
    }
    remove_segments(out);
    if (out == path) return PathForm::as_sent;
    into = std::move(out);
    return PathForm::changed;
}

void read_path(std::string_view path, bool decode, bool parameters, std::string& into) {
    into.clear();
    for (std::size_t i = 0; i < path.size(); ++i) {
        const char c = path[i];
        if (parameters && c == ';') {
            while (i + 1 < path.size() && path[i + 1] != '/') ++i;
            continue;
        }
        const int byte = decode ? escaped(path, i) : -1;
        if (byte >= 0) i += 2;
        const char read = byte >= 0 ? static_cast<char>(byte) : c;
        into += decode && read == '\\' ? '/' : read;
    }
    if (into.starts_with('/')) remove_segments(into);
}

bool readings_agree(const SiteTable& site, std::string_view method, std::string_view path) {
    if (!site.routes_by_path || is_plain(path)) return true;
    const RouteId route = route_of(site, method, path, false);
    std::string reading;
    for (const bool decode : {false, true}) {
        for (const bool parameters : {false, true}) {
            read_path(path, decode, parameters, reading);
            if (route_of(site, method, reading, decode) != route) return false;
        }
    }
    return true;
}

}  // namespace nearhop::steering
