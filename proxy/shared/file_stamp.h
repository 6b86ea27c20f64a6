#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <sys/stat.h>

namespace nearhop::shared {

/// What tells one content of a file from another.
struct FileStamp {
    std::int64_t seconds = 0, nanoseconds = 0;
    std::uint64_t size = 0, inode = 0;
    bool operator==(const FileStamp&) const = default;

    static FileStamp of(const std::string& file) noexcept {
        struct stat now{};
        if (::stat(file.c_str(), &now) != 0) return {};  // no file is a content too: reported once
        return {now.st_mtim.tv_sec, now.st_mtim.tv_nsec, static_cast<std::uint64_t>(now.st_size),
                static_cast<std::uint64_t>(now.st_ino)};
    }
    /// A stamp that no file has: a comparison with it makes the edge read again.
    static FileStamp of_none() noexcept { return {.seconds = -1}; }
    /// Of a file that has just been read. One that was written at about that time may have changed in between.
    static FileStamp of_read(const std::string& file) noexcept {
        const FileStamp stamp = of(file);
        return stamp.seconds + 2 >= std::time(nullptr) ? of_none() : stamp;
    }
};

}  // namespace nearhop::shared
