#include "proxy/run/admin_call.h"

#include "conf/syntax.h"

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace nearhop::run {
namespace {

constexpr std::size_t most_answer = 64 * 1024 * 1024;  // /status of a large configuration

struct Connected {
    int descriptor = -1;
    ~Connected() {
        if (descriptor >= 0) ::close(descriptor);
    }
};

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
    char block[16 * 1024];
    for (;;) {
        const auto got = ::recv(connected.descriptor, block, sizeof block, 0);
        if (got < 0) throw std::runtime_error{std::string{"waiting for the answer: "} + std::strerror(errno)};
        if (got == 0 || answer.size() > most_answer) return answer;
        answer.append(block, static_cast<std::size_t>(got));
    }
}

conf::ListenAddress address_from(const std::string& text) {
    const auto address = conf::listen_address_from(text);
    if (!address) throw std::runtime_error{"want --admin as ADDRESS:PORT, found \"" + text + '"'};
    return *address;
}

}  // namespace

AdminCaller::AdminCaller(const std::string& address, const std::string& token_file)
    : address_{address_from(address)}, token_{token_of(token_file)} {}

AdminAnswer AdminCaller::call(std::string_view method, std::string_view target, std::string_view form) const {
    std::string request = std::string{method} + ' ' + std::string{target} +
                          " HTTP/1.1\r\nHost: " + to_string(address_) + "\r\nConnection: close\r\n";
    if (method == "POST")
        request += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + std::to_string(form.size()) +
                   "\r\n";
    if (!token_.empty()) request += "Authorization: Bearer " + token_ + "\r\n";
    Connected connected;
    connect_to(address_, connected);
    const std::string answer = exchanged(connected, request + "\r\n" + std::string{form});

    AdminAnswer read;
    const auto end = answer.find("\r\n\r\n");
    const bool is_http = answer.starts_with("HTTP/1.1 ") && end != answer.npos &&
                         std::from_chars(answer.data() + 9, answer.data() + 12, read.status).ptr == answer.data() + 12;
    if (!is_http) throw std::runtime_error{"the answer is not HTTP"};
    read.body = answer.substr(end + 4);
    return read;
}

}  // namespace nearhop::run
