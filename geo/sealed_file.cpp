#include "geo/sealed_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace nearhop::geo {
namespace {

/// A descriptor that closes itself.
struct Descriptor {
    int fd = -1;
    explicit Descriptor(int number) noexcept : fd{number} {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd >= 0) close(fd);
    }
    int release() noexcept { return std::exchange(fd, -1); }
};

std::string reason() { return std::strerror(errno); }

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

bool same_version(const struct stat& a, const struct stat& b) noexcept {
    return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

/// Fills `memory` from `source`; on failure says why.
std::string copy(int source, int memory, std::uint64_t most_bytes) {
    struct stat before{};
    if (fstat(source, &before) != 0) return reason();
    if (!S_ISREG(before.st_mode)) return "it is not a regular file";
    if (before.st_size == 0) return "it is empty";
    if (static_cast<std::uint64_t>(before.st_size) > most_bytes)
        return "it has " + std::to_string(before.st_size) + " bytes, and there is room for " +
               std::to_string(most_bytes);
    std::uint64_t left = most_bytes;
    std::vector<char> chunk(64 * 1024);
    for (;;) {
        const ssize_t got = ::read(source, chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return reason();
        if (got == 0) break;
        if (static_cast<std::uint64_t>(got) > left) return "it grew while it was read";
        left -= static_cast<std::uint64_t>(got);
        if (!write_all(memory, {chunk.data(), static_cast<std::size_t>(got)})) return reason();
    }
    struct stat after{};
    if (fstat(source, &after) != 0) return reason();
    return same_version(before, after) ? "" : "it changed while it was read";
}

/// After this, nothing can shrink the file under a mapping, and only we can write to it. The seal against writes is
/// optional: while the kernel moves its pages it answers EBUSY, for as long as it likes.
bool seal(int memory) noexcept {
    constexpr int size = F_SEAL_SHRINK | F_SEAL_GROW;
    return fcntl(memory, F_ADD_SEALS, size | F_SEAL_WRITE | F_SEAL_SEAL) == 0 ||
           (errno == EBUSY && fcntl(memory, F_ADD_SEALS, size | F_SEAL_SEAL) == 0);
}

int anonymous_memory() noexcept { return memfd_create("nearhop-geo", MFD_CLOEXEC | MFD_ALLOW_SEALING); }

}  // namespace

SealedFile SealedFile::read(const std::string& file, std::string& error, std::uint64_t most_bytes) {
    // Non-blocking, so that a pipe instead of the file is refused below, without waiting for it here.
    const Descriptor source{open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    Descriptor memory{source.fd < 0 ? -1 : anonymous_memory()};
    if (source.fd < 0 || memory.fd < 0) {
        error = reason();
        return {};
    }
    error = copy(source.fd, memory.fd, most_bytes);
    if (error.empty() && !seal(memory.fd)) error = reason();
    return error.empty() ? SealedFile{memory.release()} : SealedFile{};
}

SealedFile SealedFile::of(std::string_view bytes, std::string& error) {
    Descriptor memory{anonymous_memory()};
    if (memory.fd < 0 || !write_all(memory.fd, bytes) || !seal(memory.fd)) {
        error = reason();
        return {};
    }
    return SealedFile{memory.release()};
}

SealedFile::SealedFile(SealedFile&& other) noexcept : descriptor_{std::exchange(other.descriptor_, -1)} {}

SealedFile& SealedFile::operator=(SealedFile&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

SealedFile::~SealedFile() {
    if (descriptor_ >= 0) close(descriptor_);
}

std::string SealedFile::path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

}  // namespace nearhop::geo
