#include "proxy/wire/framing.h"

#include <algorithm>
#include <charconv>

namespace nearhop::wire {
namespace {

std::optional<Framing> explicit_framing(unsigned minor, const std::vector<Field>& fields) noexcept {
    const Field* coding = nullptr;
    const Field* length = nullptr;
    for (const Field& field : fields) {
        if (field.id == Name::transfer_encoding) {
            if (coding) return std::nullopt;
            coding = &field;
        } else if (field.id == Name::content_length) {
            if (length) return std::nullopt;
            length = &field;
        }
    }
    if (coding && length) return std::nullopt;
    if (coding) {
        if (minor == 0 || !equal_ignoring_case(coding->value, "chunked")) return std::nullopt;
        return Framing{Framing::Kind::chunked, 0};
    }
    if (!length) return Framing{};
    std::int64_t bytes = 0;  // signed: anything above 63 bits is refused, no sum can wrap
    const auto& text = length->value;
    if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return Framing{Framing::Kind::length, static_cast<std::uint64_t>(bytes)};
}

}  // namespace

std::optional<Framing> request_framing(const RequestHead& head) noexcept {
    auto framing = explicit_framing(head.minor, head.fields);
    if (framing && framing->kind == Framing::Kind::length && framing->length == 0) framing->kind = Framing::Kind::none;
    return framing;
}

std::optional<Framing> response_framing(const ResponseHead& head, std::string_view request_method) noexcept {
    const auto framing = explicit_framing(head.minor, head.fields);
    if (!framing) return std::nullopt;
    if (head.status < 200 || head.status == 204 || head.status == 304 || request_method == "HEAD") return Framing{};
    if (framing->kind == Framing::Kind::none) return Framing{Framing::Kind::until_close, 0};
    return framing;
}

std::optional<std::chrono::seconds> keep_alive_timeout(const std::vector<Field>& fields) noexcept {
    constexpr std::string_view name = "timeout=";
    constexpr std::uint32_t longest = 24 * 3600;
    std::optional<std::chrono::seconds> shortest;
    for (const Field& field : fields) {
        if (field.id != Name::keep_alive) continue;
        for_each_token(field.value, [&](std::string_view token) {
            if (!equal_ignoring_case(token.substr(0, name.size()), name)) return;
            token.remove_prefix(name.size());
            std::uint32_t count = 0;
            const char* const last = token.data() + token.size();
            const auto [end, error] = std::from_chars(token.data(), last, count);
            if (error != std::errc{} || end != last) return;
            const std::chrono::seconds told{std::min(count, longest)};
            shortest = std::min(shortest.value_or(told), told);
        });
    }
    return shortest;
}

bool keeps_alive(unsigned minor, const std::vector<Field>& fields) noexcept {
    bool close = false;
    bool keep = minor >= 1;
    for (const Field& field : fields) {
        if (field.id != Name::connection) continue;
        for_each_token(field.value, [&](std::string_view token) {
            if (equal_ignoring_case(token, "close")) close = true;
            if (equal_ignoring_case(token, "keep-alive")) keep = true;
        });
    }
    return keep && !close;
}

}  // namespace nearhop::wire
