#include "proxy/run/notify.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace nearhop::run {

bool notify_manager(std::string_view state) noexcept {
    const char* path = std::getenv("NOTIFY_SOCKET");
    if (!path || !*path) return true;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(path);
    if (length >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract name space

    const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return false;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
    const auto sent = ::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&address), size);
    ::close(descriptor);
    return sent == static_cast<ssize_t>(state.size());
}

bool notify_reloading() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    char text[64];
    const int length = std::snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
                                     static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
    return notify_manager({text, static_cast<std::size_t>(length)});
}

bool notify_status(std::string_view text) noexcept {
    char line[256] = "STATUS=";
    constexpr std::size_t key = 7;
    const std::size_t length = std::min(text.size(), sizeof line - key);
    std::transform(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length), line + key,
                   [](char c) { return c == '\n' ? ' ' : c; });
    return notify_manager({line, key + length});
}

}  // namespace nearhop::run
