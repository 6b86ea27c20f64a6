#include "proxy/account/log_file.h"

#include <climits>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nearhop::account {

LogFile::~LogFile() { close(); }

void LogFile::close() noexcept {
    if (ours_ && descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
}

bool LogFile::open(const std::string& where, std::string& error) {
    const bool standard = where == "stdout" || where == "stderr";
    const int fresh = where == "stdout" ? STDOUT_FILENO
                      : where == "stderr"
                          ? STDERR_FILENO
                          : ::open(where.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    struct stat kind{};
    if (fresh < 0 || ::fstat(fresh, &kind) != 0) {
        error = "cannot open the log " + where + ": " + std::strerror(errno);
        if (fresh >= 0 && !standard) ::close(fresh);
        return false;
    }
    close();
    descriptor_ = fresh;
    ours_ = !standard;
    socket_ = S_ISSOCK(kind.st_mode);
    waits_ = !S_ISREG(kind.st_mode);
    cut_ = false;
    last_ = '\n';
    return true;
}

LogFile::Result LogFile::write(std::string_view& bytes, int patience_ms) noexcept {
    while (!bytes.empty()) {
        std::string_view part = cut_ ? std::string_view{"\n"} : bytes;
        if (waits_) {
            // We share stdout with the process that started us, so it cannot be made non-blocking: a pipe that polls as
            // writable takes PIPE_BUF bytes without blocking.
            pollfd ready{descriptor_, POLLOUT, 0};
            const int count = ::poll(&ready, 1, patience_ms);
            if (count == 0) return Result::busy;
            if (count < 0 && errno != EINTR) return Result::failed;
            part = part.substr(0, PIPE_BUF);
            // stdout and stderr may be one pipe: what is cut between lines stays whole beside the other log's.
            if (const auto end = part.rfind('\n'); end != part.npos) part = part.substr(0, end + 1);
        }
        const ssize_t done = socket_ ? ::send(descriptor_, part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                                     : ::write(descriptor_, part.data(), part.size());
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Result::busy;
        if (done < 0) {
            // A disk may have taken half a line before it was full; the next line must not join it.
            cut_ = last_ != '\n';
            return Result::failed;
        }
        if (done == 0) return Result::busy;
        last_ = part[static_cast<std::size_t>(done) - 1];
        if (cut_)
            cut_ = false;
        else
            bytes.remove_prefix(static_cast<std::size_t>(done));
    }
    return Result::written;
}

}  // namespace nearhop::account
