#include "proxy/account/access_line.h"

#include "proxy/account/log_text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace nearhop::account {
namespace {

constexpr std::size_t path_at_most = 8 * 1024;
constexpr std::size_t text_at_most = 256;
static_assert((path_at_most + 8 * text_at_most) * escaped_at_most + 2048 <= access_line_room);

char* write_number(char* out, std::uint64_t number) noexcept { return std::to_chars(out, out + 20, number).ptr; }

char* write_padded(char* out, unsigned number, int digits) noexcept {
    for (int i = digits; i-- > 0; number /= 10) out[i] = static_cast<char>('0' + number % 10);
    return out + digits;
}

/// RFC 3339 with milliseconds, UTC.
std::string_view time_text(char* out, std::chrono::system_clock::time_point time) noexcept {
    using namespace std::chrono;
    const auto day = floor<days>(time);
    const year_month_day date{day};
    const hh_mm_ss clock{floor<milliseconds>(time - day)};
    char* end = write_padded(out, static_cast<unsigned>(std::clamp(int{date.year()}, 0, 9999)), 4);
    *end++ = '-';
    end = write_padded(end, unsigned{date.month()}, 2);
    *end++ = '-';
    end = write_padded(end, unsigned{date.day()}, 2);
    *end++ = 'T';
    end = write_padded(end, static_cast<unsigned>(clock.hours().count()), 2);
    *end++ = ':';
    end = write_padded(end, static_cast<unsigned>(clock.minutes().count()), 2);
    *end++ = ':';
    end = write_padded(end, static_cast<unsigned>(clock.seconds().count()), 2);
    *end++ = '.';
    end = write_padded(end, static_cast<unsigned>(clock.subseconds().count()), 3);
    *end++ = 'Z';
    return {out, static_cast<std::size_t>(end - out)};
}

/// Address::text() without its string.
std::string_view address_text(char (&out)[INET6_ADDRSTRLEN], const geo::Address& address) noexcept {
    const auto& bytes = address.bytes();
    const char* text = address.is_v4() ? inet_ntop(AF_INET, bytes.data() + 12, out, sizeof out)
                                       : inet_ntop(AF_INET6, bytes.data(), out, sizeof out);
    return text ? std::string_view{text} : "-";
}

std::string_view place_text(const geo::Place& place) noexcept {
    if (place.country) return place.country->text();
    if (place.continent) return geo::code(*place.continent);
    return place.point ? "point" : "-";
}

/// The request's target without what the query must not tell; written into `out` where parameters are picked.
std::string_view told_of(std::string_view target, const conf::LogQuery* query, char (&out)[path_at_most]) noexcept {
    const auto mark = target.find('?');
    if (mark == target.npos || (query && query->kind == conf::LogQuery::Kind::keep)) return target;
    const auto path = target.substr(0, mark);
    if (!query || query->kind == conf::LogQuery::Kind::drop) return path;
    std::size_t size = std::min(path.size(), path_at_most);
    std::memcpy(out, path.data(), size);
    char before = '?';
    for (auto rest = target.substr(mark + 1); !rest.empty();) {
        const auto parameter = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(parameter.size() + 1, rest.size()));
        const auto name = parameter.substr(0, parameter.find('='));
        if (std::find(query->names.begin(), query->names.end(), name) == query->names.end()) continue;
        if (size + 1 + parameter.size() > path_at_most) break;
        out[size++] = std::exchange(before, '&');
        std::memcpy(out + size, parameter.data(), parameter.size());
        size += parameter.size();
    }
    return {out, size};
}

/// Writes the fields in one of the two forms.
class Line {
public:
    Line(char* out, conf::LogFormat format) noexcept : out_{out}, json_{format == conf::LogFormat::json} {
        if (json_) *out_++ = '{';
    }

    void text(std::string_view key, std::string_view value, std::size_t at_most = text_at_most) noexcept {
        begin(key);
        value = value.empty() ? "-" : value.substr(0, at_most);
        if (!json_) {
            out_ = write_logfmt(out_, value);
            return;
        }
        *out_++ = '"';
        out_ = write_escaped(out_, value);
        *out_++ = '"';
    }
    void number(std::string_view key, std::uint64_t value) noexcept {
        begin(key);
        out_ = write_number(out_, value);
    }
    /// Three decimals; as an integer, because a double's way to text may allocate.
    void milliseconds(std::string_view key, double value) noexcept {
        begin(key);
        const auto micros = value > 0 ? static_cast<std::uint64_t>(std::llround(std::min(value, 1e12) * 1000)) : 0;
        out_ = write_number(out_, micros / 1000);
        *out_++ = '.';
        out_ = write_padded(out_, static_cast<unsigned>(micros % 1000), 3);
    }
    char* end() noexcept {
        if (json_) *out_++ = '}';
        *out_++ = '\n';
        return out_;
    }

private:
    void begin(std::string_view key) noexcept {
        if (!first_) *out_++ = json_ ? ',' : ' ';
        first_ = false;
        if (json_) *out_++ = '"';
        std::memcpy(out_, key.data(), key.size());
        out_ += key.size();
        if (json_) *out_++ = '"';
        *out_++ = json_ ? ':' : '=';
    }

    char* out_;
    bool json_;
    bool first_ = true;
};

}  // namespace

std::string_view format_access_line(char* out, const AccessRecord& record, conf::LogFormat format) noexcept {
    char time[32];
    char client[INET6_ADDRSTRLEN];
    Line line{out, format};
    line.text("time", time_text(time, record.time));
    line.text("id", record.id);
    line.text("client", address_text(client, record.client));
    line.text("method", record.method);
    line.text("host", record.host);
    char picked[path_at_most];
    line.text("path", told_of(record.path, record.query, picked), path_at_most);
    line.text("protocol", record.protocol);
    line.text("upgrade", record.upgrade);
    line.number("status", record.status);
    line.text("site", record.site);
    line.text("origin", record.origin);
    line.text("reason", record.has_reason ? steering::name(record.reason) : std::string_view{});
    line.text("first_choice", record.first_choice);
    line.text("passed_over", record.passed_over ? steering::name(*record.passed_over) : std::string_view{});
    line.text("place", place_text(record.place));
    line.text("geo_source", geo::name(record.place.source));
    line.text("geo_level", geo::name(record.place.level));
    line.number("attempts", record.attempts);
    line.text("fault", info(record.fault).code);
    line.text("class", wire::name(wire::strictness(record.deviation)));
    line.text("class_reason", wire::name(record.deviation));
    line.number("bytes_in", record.bytes_in);
    line.number("bytes_out", record.bytes_out);
    line.milliseconds("edge_ms", record.edge_ms);
    line.milliseconds("connect_ms", record.connect_ms);
    line.milliseconds("origin_ms", record.origin_ms);
    line.milliseconds("total_ms", record.total_ms);
    return {out, static_cast<std::size_t>(line.end() - out)};
}

}  // namespace nearhop::account
