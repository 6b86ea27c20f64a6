#include "proxy/origin/announcement.h"

#include <algorithm>
#include <netinet/in.h>
#include <sys/socket.h>

namespace nearhop::origin {
namespace {

using namespace std::string_view_literals;

constexpr auto signature = "\r\n\r\n\0\r\nQUIT\n"sv;

std::string_view text(const geo::Address& address, bool v4) noexcept {
    const auto& bytes = address.bytes();
    const std::string_view all{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    return v4 ? all.substr(12) : all;
}

}  // namespace

Announcement::Party Announcement::Party::from(const sockaddr* socket) noexcept {
    const auto address = geo::Address::from(socket);
    if (!address) return {};
    const auto port = socket->sa_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(socket)->sin6_port
                                                    : reinterpret_cast<const sockaddr_in*>(socket)->sin_port;
    return {*address, ntohs(port)};
}

void Announcement::add(std::string_view bytes) noexcept {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin() + size_);
    size_ = static_cast<std::uint8_t>(size_ + bytes.size());
}

void Announcement::add_port(std::uint16_t port) noexcept {
    const char pair[] = {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)};
    add({pair, sizeof pair});
}

Announcement Announcement::local() noexcept {
    Announcement made;
    made.add(signature);
    made.add("\x20\x00\x00\x00"sv);  // version 2 and LOCAL, unspecified, nothing follows
    return made;
}

Announcement Announcement::of(const Party& client, const Party& edge) noexcept {
    const bool v4 = client.address.is_v4() && edge.address.is_v4();
    Announcement made;
    made.add(signature);
    made.add(v4 ? "\x21\x11\x00\x0c"sv : "\x21\x21\x00\x24"sv);  // version 2 and PROXY, TCP over 4 or 6, 12 or 36 bytes
    made.add(text(client.address, v4));
    made.add(text(edge.address, v4));
    made.add_port(client.port);
    made.add_port(edge.port);
    return made;
}

}  // namespace nearhop::origin
