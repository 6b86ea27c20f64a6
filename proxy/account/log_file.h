#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nearhop::account {

/// Where whole lines go: stdout, stderr or a file that is appended to. A reader that does not read, or a full disk,
/// loses lines. It waits for neither, but a hanging disk, or another process that fills the same pipe, may hold write()
/// up: only a thread that has nothing else to do may call it (LogWriter).
class LogFile {
public:
    LogFile() = default;
    ~LogFile();
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;

    /// "stdout", "stderr" or a file name. False with `error` set; what was open before then stays in use.
    bool open(const std::string& where, std::string& error);

    enum class Result : std::uint8_t {
        written,
        busy,    ///< the reader does not read: nothing or a part was written, try the rest again
        failed,  ///< the rest is lost; errno says why
    };
    /// Writes as much as it can; `bytes` keeps the rest. `patience_ms` is how long a slow reader is waited for.
    Result write(std::string_view& bytes, int patience_ms) noexcept;

private:
    void close() noexcept;

    int descriptor_ = -1;
    bool ours_ = false;   ///< to be closed
    bool waits_ = false;  ///< a pipe, terminal or socket: a plain write could block
    bool socket_ = false;
    bool cut_ = false;  ///< the last thing written is the beginning of a line that was then lost
    char last_ = '\n';  ///< byte written
};

}  // namespace nearhop::account
