#include "proxy/wire/pem_file.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace nearhop::wire {

std::string read_file(const std::string& file, std::string& bytes) {
    constexpr std::size_t most = 16 * 1024 * 1024;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened{std::fopen(file.c_str(), "rbe"), &std::fclose};
    if (!opened) return std::strerror(errno);
    std::array<char, 16 * 1024> piece;
    bytes.clear();
    errno = 0;
    while (const std::size_t got = std::fread(piece.data(), 1, piece.size(), opened.get())) {
        bytes.append(piece.data(), got);
        if (bytes.size() > most) return "it is larger than 16 MiB";
    }
    if (std::ferror(opened.get())) return std::strerror(errno);  // a directory opens, and fails here
    return bytes.empty() ? "it is empty" : "";
}

}  // namespace nearhop::wire
