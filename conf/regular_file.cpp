#include "conf/regular_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nearhop::conf {
namespace {

std::string_view kind_of(mode_t mode) noexcept {
    if (S_ISDIR(mode)) return "a folder";
    if (S_ISFIFO(mode)) return "a pipe";
    return S_ISSOCK(mode) ? "a socket" : "a device";
}

FileFault read_from(int descriptor, std::size_t most, std::string& bytes) {
    struct stat facts{};
    if (fstat(descriptor, &facts) != 0) return {.error = std::strerror(errno)};
    if (!S_ISREG(facts.st_mode)) return {.found = kind_of(facts.st_mode)};
    char block[16 * 1024];
    while (bytes.size() < most) {
        const auto got = ::read(descriptor, block, std::min(sizeof block, most - bytes.size()));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return {.error = std::strerror(errno)};
        if (got == 0) break;
        bytes.append(block, static_cast<std::size_t>(got));
    }
    return {};
}

}  // namespace

FileFault read_regular_file(const std::string& file, std::size_t most, std::string& bytes) {
    bytes.clear();
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return {.error = std::strerror(errno)};
    const FileFault fault = read_from(descriptor, most, bytes);
    ::close(descriptor);
    return fault;
}

}  // namespace nearhop::conf
