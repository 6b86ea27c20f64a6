#include "conf/syntax.h"
#include "proxy/run/commands.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <netinet/in.h>
#include <stdexcept>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/// `nearhop drain` and its like: one POST to the admin listener of a running edge, for people without curl at hand.
namespace nearhop::run {
namespace {

struct Connected {
    int descriptor = -1;
    ~Connected() {
        if (descriptor >= 0) ::close(descriptor);
    }
};

std::string form_value(std::string_view text) {
    std::string out;
    for (const char c : text) {
        char escaped[4];
        std::snprintf(escaped, sizeof escaped, "%%%02X", static_cast<unsigned char>(c));
        out += escaped;
    }
    return out;
}

/// The file's content without the line end that an editor leaves; empty without a file.
std::string token_of(const std::string& file) {
    if (file.empty()) return {};
    std::ifstream stream{file};
    if (!stream) throw std::runtime_error{file + ": " + std::strerror(errno)};
    std::string token{std::istreambuf_iterator<char>{stream}, {}};
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
    // Anything but visible ASCII would end the header field, or is no token of ours.
    if (!conf::is_field_value(token)) throw std::runtime_error{file + ": holds no token"};
    return token;
}

void connect_to(const conf::ListenAddress& admin, Connected& connected) {
    sockaddr_storage address{};
    socklen_t size = sizeof(sockaddr_in);
    auto& six = reinterpret_cast<sockaddr_in6&>(address);
    auto& four = reinterpret_cast<sockaddr_in&>(address);
    if (inet_pton(AF_INET6, admin.address.c_str(), &six.sin6_addr) == 1) {
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(admin.port);
        size = sizeof six;
    } else {
        inet_pton(AF_INET, admin.address.c_str(), &four.sin_addr);
        four.sin_family = AF_INET;
        four.sin_port = htons(admin.port);
    }
    connected.descriptor = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    const timeval patience{10, 0};
    ::setsockopt(connected.descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(connected.descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connected.descriptor < 0 ||
        ::connect(connected.descriptor, reinterpret_cast<const sockaddr*>(&address), size) != 0)
        throw std::runtime_error{"no admin listener at " + to_string(admin) + ": " + std::strerror(errno)};
}

std::string exchanged(const Connected& connected, std::string_view request) {
    while (!request.empty()) {
        const auto sent = ::send(connected.descriptor, request.data(), request.size(), MSG_NOSIGNAL);
        if (sent < 0) throw std::runtime_error{std::string{"sending: "} + std::strerror(errno)};
        request.remove_prefix(static_cast<std::size_t>(sent));
    }
    std::string answer;
    char block[4096];
    for (;;) {
        const auto got = ::recv(connected.descriptor, block, sizeof block, 0);
        if (got < 0) throw std::runtime_error{std::string{"waiting for the answer: "} + std::strerror(errno)};
        if (got == 0 || answer.size() > 64 * 1024) return answer;
        answer.append(block, static_cast<std::size_t>(got));
    }
}

}  // namespace

int order_origin(const OrderOptions& options) {
    const auto admin = conf::listen_address_from(options.admin);
    if (!admin) throw std::runtime_error{"want --admin as ADDRESS:PORT, found \"" + options.admin + '"'};
    const bool plain = !options.origin.empty() && std::all_of(options.origin.begin(), options.origin.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
    });
    if (!plain) throw std::runtime_error{"want an origin's name, found \"" + options.origin + '"'};

    std::string body = "author=" + form_value(options.author) + "&reason=" + form_value(options.reason);
    if (options.force) body += "&force=true";
    if (!options.lasts.empty()) body += "&for=" + form_value(options.lasts);
    std::string request = "POST /origins/" + options.origin + '/' + options.action +
                          " HTTP/1.1\r\nHost: " + to_string(*admin) +
                          "\r\nConnection: close\r\nContent-Type: "
                          "application/x-www-form-urlencoded\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n";
    if (const auto token = token_of(options.token_file); !token.empty())
        request += "Authorization: Bearer " + token + "\r\n";
    Connected connected;
    connect_to(*admin, connected);
    const std::string answer = exchanged(connected, request + "\r\n" + body);

    const auto end = answer.find("\r\n\r\n");
    if (!answer.starts_with("HTTP/1.1 ") || end == answer.npos) throw std::runtime_error{"the answer is not HTTP"};
    const bool good = std::string_view{answer}.substr(9, 3) == "200";
    std::fputs(answer.c_str() + end + 4, good ? stdout : stderr);
    return good ? exit_ok : exit_failed;
}

}  // namespace nearhop::run
