#include "proxy/wire/head.h"

#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace nearhop::wire {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using View = boost::beast::string_view;

std::string_view view(View text) { return {text.data(), text.size()}; }

/// Beast's tokeniser with our storage: fields become views into the head's own bytes.
template <bool is_request>
class Parser final : public http::basic_parser<is_request> {
public:
    using Head = std::conditional_t<is_request, RequestHead, ResponseHead>;

    Parser(std::string_view bytes, unsigned max_fields, Head& into)
        : bytes_{bytes}, max_fields_{max_fields}, head_{into} {
        this->header_limit(std::numeric_limits<std::uint32_t>::max());  // the caller has measured it already
        this->body_limit(boost::none);
        this->skip(true);
    }
    HeadError run() {
        error_code error;
        this->put(boost::asio::const_buffer{bytes_.data(), bytes_.size()}, error);
        if (problem_ != HeadError::none) return problem_;
        if (error == http::error::bad_content_length || error == http::error::multiple_content_length ||
            error == http::error::bad_transfer_encoding)
            return HeadError::bad_framing;
        if (error || !this->is_header_done()) return HeadError::malformed;
        head_.minor = minor_;
        return HeadError::none;
    }

private:
    static constexpr std::size_t most_listed = 64;

    void on_request_impl(http::verb, View method, View target, int version, error_code&) override {
        if constexpr (is_request) {
            head_.method = view(method);
            head_.target = view(target);
        }
        minor_ = static_cast<unsigned>(version % 10);
    }
    void on_response_impl(int status, View reason, int version, error_code&) override {
        if constexpr (!is_request) {
            head_.status = static_cast<unsigned>(status);
            head_.reason = view(reason);
        }
        minor_ = static_cast<unsigned>(version % 10);
    }
    void on_field_impl(http::field, View name, View value, error_code& error) override {
        // A value outside the head was unfolded into Beast's own buffer: obs-fold (RFC 9112 section 5.2).
        const bool ours =
            value.empty() || (value.data() >= bytes_.data() && value.data() < bytes_.data() + bytes_.size());
        if (!ours || name.empty()) {
            problem_ = HeadError::malformed;
        } else if (head_.fields.size() >= max_fields_) {
            problem_ = HeadError::too_many_fields;
        } else {
            head_.fields.push_back({view(name), view(value), classify(view(name))});
            if (head_.fields.back().id != Name::connection) return;
            // Every other field is looked up among these.
            listed_ += 1 + static_cast<std::size_t>(std::count(value.begin(), value.end(), ','));
            if (listed_ <= most_listed) return;
            problem_ = HeadError::too_many_fields;
        }
        error = http::error::bad_field;
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
    std::size_t on_body_impl(View body, error_code&) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t, View, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, View body, error_code&) override { return body.size(); }
    void on_finish_impl(error_code&) override {}

    std::string_view bytes_;
    unsigned max_fields_;
    std::size_t listed_ = 0;  ///< names in Connection fields
    Head& head_;
    HeadError problem_ = HeadError::none;
    unsigned minor_ = 1;
};

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// `known` is lower case with dashes. '_' in `name` counts as '-' and is reported.
bool matches(std::string_view name, std::string_view known, bool& twin) {
    if (name.size() < known.size()) return false;
    for (std::size_t i = 0; i < known.size(); ++i) {
        const char c = lower(name[i]);
        if (c == known[i]) continue;
        if (c != '_' || known[i] != '-') return false;
        twin = true;
    }
    return true;
}

struct Known {
    std::string_view name;
    Name id;
    bool prefix = false;
};

// By first letter, so that a field is compared with one or two names at most before it is `other`.
constexpr Known known[] = {
    {"accept", Name::accept},
    {"alt-svc", Name::alt_svc},
    {"cdn-loop", Name::cdn_loop},
    {"cloudfront-viewer-", Name::cloudfront_viewer, true},
    {"connection", Name::connection},
    {"content-length", Name::content_length},
    {"content-type", Name::content_type},
    {"date", Name::date},
    {"expect", Name::expect},
    {"forwarded", Name::forwarded},
    {"host", Name::host},
    {"idempotency-key", Name::idempotency_key},
    {"keep-alive", Name::keep_alive},
    {"max-forwards", Name::max_forwards},
    {"proxy-connection", Name::proxy_connection},
    {"retry-after", Name::retry_after},
    {"te", Name::te},
    {"trailer", Name::trailer},
    {"transfer-encoding", Name::transfer_encoding},
    {"upgrade", Name::upgrade},
    {"via", Name::via},
    {"x-forwarded-for", Name::x_forwarded_for},
    {"x-forwarded-host", Name::x_forwarded_host},
    {"x-forwarded-proto", Name::x_forwarded_proto},
    {"x-forwarded-", Name::x_forwarded_other, true},
    {"x-nearhop-", Name::x_nearhop, true},
    {"x-real-ip", Name::x_real_ip},
    {"x-request-id", Name::x_request_id},
};

/// A line that begins with a blank continues the one before (obs-fold, RFC 9112 section 5.2). Beast unfolds it, and
/// behind an empty value that cannot be seen in what it reports.
bool is_folded(std::string_view head) {
    for (std::size_t feed = head.find('\n'); feed < head.size(); feed = head.find('\n', feed + 1))
        if (feed + 1 < head.size() && (head[feed + 1] == ' ' || head[feed + 1] == '\t')) return true;
    return false;
}

enum class TargetByte : std::uint8_t { refused, odd, plain };

/// What a byte is in a target: no control, blank, '#' or byte outside ASCII is let through; '"<>\^`{|}' are not a
/// URI's either (RFC 3986 section 2), but origins are used to them.
constexpr auto target_bytes = [] {
    std::array<TargetByte, 256> table{};
    for (unsigned c = 0x21; c < 0x7f; ++c)
        table[c] = std::string_view{"\"<>\\^`{|}"}.find(static_cast<char>(c)) == std::string_view::npos
                       ? TargetByte::plain
                       : TargetByte::odd;
    table['#'] = TargetByte::refused;
    return table;
}();

/// The worst byte of a target.
TargetByte judge_target(std::string_view target) {
    TargetByte worst = target.empty() ? TargetByte::refused : TargetByte::plain;
    for (const char c : target) worst = std::min(worst, target_bytes[static_cast<unsigned char>(c)]);
    return worst;
}

}  // namespace

bool valid_target(std::string_view target) noexcept { return judge_target(target) != TargetByte::refused; }

Name classify(std::string_view name) noexcept {
    const char first = lower(name.empty() ? '\0' : name.front());
    for (const auto& entry : known) {
        if (entry.name.front() != first) {
            if (entry.name.front() > first) break;
            continue;
        }
        if (!entry.prefix && entry.name.size() != name.size()) continue;
        bool twin = false;
        if (matches(name, entry.name, twin)) return twin ? Name::underscore_twin : entry.id;
    }
    return name.find('_') == std::string_view::npos ? Name::other : Name::underscored;
}

bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept {
    if (left.size() != right.size()) return false;
    for (std::size_t i = 0; i < left.size(); ++i)
        if (lower(left[i]) != lower(right[i])) return false;
    return true;
}

HeadScan::State HeadScan::scan(std::string_view bytes) noexcept {
    while (scanned_ < bytes.size()) {
        const void* found = std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_);
        if (!found) {
            scanned_ = bytes.size();
            break;
        }
        const auto feed = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
        if (feed == line_ || bytes[feed - 1] != '\r') return State::malformed;
        const bool empty_line = feed == line_ + 1;
        if (!first_done_) {
            first_line_ = feed - 1 - line_;
            first_done_ = true;
        }
        scanned_ = line_ = feed + 1;
        if (empty_line) return State::complete;
    }
    if (!first_done_) first_line_ = bytes.size() - (bytes.ends_with('\r') ? 1 : 0);
    return State::more;
}

HeadError parse_request(std::string_view head, unsigned max_fields, RequestHead& into) {
    into.fields.clear();
    if (is_folded(head)) return HeadError::malformed;
    const HeadError error = Parser<true>{head, max_fields, into}.run();
    if (error != HeadError::none) return error;
    const TargetByte target = judge_target(into.target);
    if (target == TargetByte::refused || into.method.size() > 32) return HeadError::malformed;
    into.odd_target = target == TargetByte::odd;
    return HeadError::none;
}

HeadError parse_response(std::string_view head, unsigned max_fields, ResponseHead& into) {
    into.fields.clear();
    if (is_folded(head)) return HeadError::malformed;
    const HeadError error = Parser<false>{head, max_fields, into}.run();
    if (error != HeadError::none) return error;
    if (into.status < 100 || into.status > 599) return HeadError::malformed;
    return HeadError::none;
}

}  // namespace nearhop::wire
