#include "proxy/wire/diagnose.h"

#include "proxy/wire/head.h"

#include <algorithm>

namespace nearhop::wire {
namespace {

using enum Deviation;

constexpr std::string_view digits = "0123456789";

bool is_token(std::string_view text) noexcept { return std::all_of(text.begin(), text.end(), is_token_char); }

/// The first byte that no head may hold, wherever it stands.
Deviation bad_byte(std::string_view head) noexcept {
    for (std::size_t i = 0; i < head.size(); ++i) {
        const char c = head[i];
        if (c == '\n' && (i == 0 || head[i - 1] != '\r')) return bare_lf;
        if (c == '\r' && i + 1 < head.size() && head[i + 1] != '\n') return bare_cr;
        if (c == '\0') return nul_byte;
        if ((c > 0 && c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f) return control_byte;
    }
    return none;
}

Deviation bad_request_line(std::string_view line) noexcept {
    const auto method = line.substr(0, line.find_first_of(" \t"));
    if (method.empty()) return request_line_spaces;
    if (method.size() > 32 || !is_token(method)) return bad_method;
    line.remove_prefix(method.size());
    const auto last = line.find_last_of(" \t");
    if (last == std::string_view::npos) return bad_version;
    const auto target = line.substr(1, last == 0 ? std::string_view::npos : last - 1);
    const auto version = last == 0 ? std::string_view{} : line.substr(last + 1);
    if (target.find('#') != std::string_view::npos) return fragment_in_target;
    if (!std::all_of(target.begin(), target.end(), [](char c) { return (c >= ' ' || c == '\t') && c < 0x7f; }))
        return bad_target;
    if (last == 0) return bad_version;  // HTTP/0.9
    if (target.empty() || line[0] != ' ' || line[last] != ' ' || version.empty() ||
        target.find_first_of(" \t") != std::string_view::npos)
        return request_line_spaces;
    return version == "HTTP/1.1" || version == "HTTP/1.0" ? none : bad_version;
}

Deviation bad_status_line_of(std::string_view line) noexcept {
    const bool version = line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ");
    if (!version) return line.starts_with("HTTP/") ? bad_version : bad_status_line;
    const auto status = line.substr(9, 3);
    const bool good = status.size() == 3 && status.find_first_not_of(digits) == std::string_view::npos &&
                      status[0] >= '1' && status[0] <= '5' && line.size() > 12 && line[12] == ' ';
    return good ? none : bad_status_line;
}

Deviation bad_field_line(std::string_view line) noexcept {
    if (line.front() == ' ' || line.front() == '\t') return folded_field;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return no_colon;
    const auto name = line.substr(0, colon);
    if (name.empty()) return bad_field_name;
    if (name.back() == ' ' || name.back() == '\t') return space_before_colon;
    return is_token(name) ? none : bad_field_name;
}

struct FramingFields {
    bool http10 = false;
    unsigned lengths = 0;
    unsigned codings = 0;
    bool plain_lengths = true;
    bool plain_codings = true;

    void see(std::string_view line) noexcept {
        const auto colon = line.find(':');
        const auto name = line.substr(0, colon);
        auto value = line.substr(std::min(line.size(), colon + 1));
        while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
        while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
        if (equal_ignoring_case(name, "content-length")) {
            ++lengths;
            if (value.empty() || value.size() > 18 || value.find_first_not_of(digits) != std::string_view::npos)
                plain_lengths = false;
        } else if (equal_ignoring_case(name, "transfer-encoding")) {
            ++codings;
            if (!equal_ignoring_case(value, "chunked")) plain_codings = false;
        }
    }
    Deviation verdict() const noexcept {
        if (lengths != 0 && codings != 0) return both_framings;
        if (lengths > 1) return repeated_length;
        if (!plain_lengths) return bad_length;
        if (codings > 1) return repeated_coding;
        if (!plain_codings) return unknown_coding;
        return codings != 0 && http10 ? coding_in_http10 : none;
    }
};

template <class FirstLine>
Deviation diagnose(std::string_view head, FirstLine first_line) noexcept {
    if (const Deviation found = bad_byte(head); found != none) return found;
    FramingFields framing;
    for (bool first = true; !head.empty(); first = false) {
        const auto end = head.find("\r\n");
        const auto line = head.substr(0, end);
        head.remove_prefix(end == std::string_view::npos ? head.size() : end + 2);
        if (!first && line.empty()) break;
        if (const Deviation found = first ? first_line(line) : bad_field_line(line); found != none) return found;
        if (first)
            framing.http10 = line.find("HTTP/1.0") != std::string_view::npos;
        else
            framing.see(line);
    }
    const Deviation found = framing.verdict();
    return found == none ? other : found;
}

}  // namespace

Deviation diagnose_request(std::string_view head) noexcept { return diagnose(head, bad_request_line); }
Deviation diagnose_response(std::string_view head) noexcept { return diagnose(head, bad_status_line_of); }

}  // namespace nearhop::wire
