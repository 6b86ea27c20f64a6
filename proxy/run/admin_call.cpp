#include "proxy/run/admin_call.h"

#include "conf/parse.h"
#include "conf/syntax.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/run/admin_trust.h"
#include "proxy/setup/secrets.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <netdb.h>
#include <optional>
#include <stdexcept>
#include <utility>

namespace nearhop::run {
namespace {

using control::HttpAnswer;
using control::HttpFailure;
using std::runtime_error;

constexpr control::HttpLimits limits{.connect = loop::milliseconds{10'000},
                                     .whole = std::chrono::minutes{10},
                                     .silence = loop::milliseconds{10'000},
                                     .connection_age = {},
                                     .body_bytes = std::size_t{64} * 1024 * 1024};  // /status of a large configuration

/// The file's content without the line end that an editor leaves.
std::string token_of(const std::string& file) {
    std::ifstream stream{file};
    if (!stream) throw runtime_error{file + ": " + std::strerror(errno)};
    std::string token{std::istreambuf_iterator<char>{stream}, {}};
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
    // Anything but visible ASCII would end the header field, or is no token of ours.
    if (!conf::is_field_value(token)) throw runtime_error{file + ": holds no token"};
    return token;
}

struct Place {
    bool tls = false;
    bool plain = false;  ///< by its own word
    std::string host;
    std::uint16_t port = 0;
};

std::optional<Place> place_from(std::string_view text) {
    Place place;
    place.tls = text.starts_with("https://");
    place.plain = text.starts_with("http://");
    if (place.tls || place.plain) text.remove_prefix(text.find("//") + 2);
    if (text.ends_with('/')) text.remove_suffix(1);
    if (const auto address = conf::listen_address_from(text)) {
        place.host = address->address;
        place.port = address->port;
        return place;
    }
    const auto colon = text.rfind(':');
    if ((!place.tls && !place.plain) || colon == text.npos || colon == 0) return std::nullopt;
    const auto port = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), place.port);
    place.host = text.substr(0, colon);
    const bool plain_name = place.host.find_first_of(":/@[]") == std::string::npos;
    if (error != std::errc{} || end != port.data() + port.size() || place.port == 0 || !plain_name) return std::nullopt;
    return place;
}

Place place_of(const conf::Admin& admin, const std::string& file) {
    if (!admin.listen) throw runtime_error{file + ": admin is off"};
    const auto& at = **admin.listen;
    if (at.port == 0) throw runtime_error{file + ": leaves the port of admin.listen to the system; want --admin"};
    const bool any = at.address == "0.0.0.0" || at.address == "::";
    return {.host = !any ? at.address : at.address == "::" ? "::1" : "127.0.0.1", .port = at.port};
}

conf::Admin admin_from(const std::string& file) {
    auto parsed = conf::parse_file(file);
    if (!parsed.config)
        throw runtime_error{"want a configuration without errors, found " +
                            (parsed.problems.empty() ? file : conf::to_string(parsed.problems.front(), file))};
    conf::Problems ignored;  // of secrets that this command has no use for
    setup::read_secrets(*parsed.config, ignored);
    return parsed.config->admin;
}

/// Every address of `host`, which may be one itself.
std::vector<control::HttpServer> resolved(const Place& place) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(place.host.c_str(), std::to_string(place.port).c_str(), &wanted, &found))
        throw runtime_error{"no admin listener at " + place.host + ": " + gai_strerror(error)};
    std::vector<control::HttpServer> servers;
    for (const auto* each = found; each; each = each->ai_next) {
        auto& server = servers.emplace_back();
        std::memcpy(&server.address, each->ai_addr, each->ai_addrlen);
        server.size = each->ai_addrlen;
    }
    freeaddrinfo(found);
    return servers;
}

loop::Task<> ask(loop::Loop& loop, const control::HttpServer& server, const std::string& message, HttpAnswer& answer) {
    struct Stop {
        loop::Loop& loop;
        ~Stop() { loop.stop(); }
    } const stop{loop};
    control::HttpClient client{loop, server};
    answer = co_await client.ask(message, limits);
}

HttpAnswer answer_of(const control::HttpServer& server, const std::string& message) {
    loop::Loop loop;
    HttpAnswer answer;
    auto task = ask(loop, server, message, answer);
    task.start();
    loop.run();
    task.result();
    return answer;
}

std::string sentence_of(const HttpAnswer& answer, const std::string& address, bool tls) {
    const std::string hint = tls ? "" : " (where it has admin.tls, this command wants --config or --ca)";
    switch (answer.failure) {
        case HttpFailure::connect: return "no admin listener at " + address + ": " + answer.detail;
        case HttpFailure::connect_timeout:
        case HttpFailure::lost: return "no admin listener at " + address + ": it does not answer";
        case HttpFailure::tls:
        case HttpFailure::certificate: return "TLS with the admin listener at " + address + ": " + answer.detail;
        case HttpFailure::tls_timeout:
        case HttpFailure::head_timeout:
        case HttpFailure::body_timeout: return "waiting for the answer of " + address + ": it took too long" + hint;
        case HttpFailure::closed: return address + " closed the connection without an answer" + hint;
        default: return "the answer is not HTTP: " + answer.detail + hint;
    }
}

}  // namespace

AdminCaller::AdminCaller(const AdminOptions& options) {
    std::optional<conf::Admin> admin;
    if (!options.config.empty()) admin = admin_from(options.config);
    std::optional<Place> place = place_from(options.address.empty() ? "127.0.0.1:9180" : options.address);
    if (!place) throw runtime_error{"want --admin as ADDRESS:PORT, found \"" + options.address + '"'};
    if (admin && options.address.empty()) place = place_of(*admin, options.config);

    servers_ = resolved(*place);
    const bool own = admin && admin->tls && options.ca.empty();
    const bool tls = !place->plain && (place->tls || !options.ca.empty() || own);
    if (!tls && !options.certificate.empty()) throw runtime_error{"--certificate has no meaning without TLS"};
    if (tls) {
        const auto trust =
            own ? trust_in_certificate(*admin->tls->certificate.certificate, options) : trust_in_authorities(options);
        for (auto& server : servers_) {
            server.tls = trust;
            // The edge's own certificate is known to the byte, whatever name it has.
            server.name = !options.server_name.empty() ? options.server_name : own ? std::string{} : place->host;
        }
    }
    address_ = conf::to_string(conf::ListenAddress{place->host, place->port});
    if (!options.token_file.empty())
        token_ = token_of(options.token_file);
    else if (admin)
        token_ = admin->token.value;
}

AdminAnswer AdminCaller::call(std::string_view method, std::string_view target, std::string_view form) const {
    std::string message = std::string{method} + ' ' + std::string{target} + " HTTP/1.1\r\nHost: " + address_ +
                          "\r\nConnection: close\r\n";
    if (method == "POST")
        message += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + std::to_string(form.size()) +
                   "\r\n";
    if (!token_.empty()) message += "Authorization: Bearer " + token_ + "\r\n";
    message += "\r\n";
    message += form;
    HttpAnswer answer;
    bool tls = false;
    for (const auto& server : servers_) {
        tls = server.tls != nullptr;
        answer = answer_of(server, message);
        if (answer.failure != HttpFailure::connect && answer.failure != HttpFailure::connect_timeout) break;
    }
    if (answer.failure != HttpFailure::none) throw runtime_error{sentence_of(answer, address_, tls)};
    return {answer.status, std::move(answer.body)};
}

}  // namespace nearhop::run
