#include "proxy/run/try_start.h"

#include "conf/syntax.h"
#include "proxy/client/listener.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace nearhop::run {
namespace {

using conf::Severity;

void try_address(const conf::At<conf::ListenAddress>& address, const std::string& path, conf::Problems& problems) {
    const auto why = [](int number) { return std::string{": "} + std::strerror(number); };
    const std::string text = conf::to_string(*address);
    auto anywhere = *address;
    anywhere.port = 0;
    if (const int error = client::bind_error(anywhere); error != 0)
        problems.push_back(
            {Severity::error, address.mark, path, "want an address of this machine, found " + text + why(error)});
    else if (client::bind_error(*address) == EACCES)
        problems.push_back(
            {Severity::warning, address.mark, path,
             "this user may not listen on " + text + why(EACCES) + "; the edge's user needs CAP_NET_BIND_SERVICE"});
}

void try_access_log(const conf::Log& log, conf::Problems& problems) {
    const std::string& file = *log.access;
    if (file == "stdout" || file == "off") return;
    int error = 0;
    struct stat facts{};
    if (::stat(file.c_str(), &facts) == 0) {
        const int descriptor = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);
        error = descriptor < 0 ? errno : 0;
        if (descriptor >= 0) ::close(descriptor);
    } else {
        error = errno;
        // One that is not there yet is made, if its folder lets us.
        const auto folder = std::filesystem::path{file}.parent_path().string();
        if (error == ENOENT &&
            ::faccessat(AT_FDCWD, folder.empty() ? "." : folder.c_str(), W_OK | X_OK, AT_EACCESS) == 0)
            error = 0;
        else if (error == ENOENT)
            error = errno;
    }
    if (error == 0) return;
    const bool unread = error == ENXIO;  // open(2): an unread pipe, or a socket
    problems.push_back({Severity::error, log.access.mark, log.access.path,
                        "want a file that can be written, found " + file + ": " +
                            (unread ? "an unread pipe, or a socket" : std::strerror(error))});
}

/// A start goes on without it, and then orders do not outlive the process.
void try_state_file(const conf::Admin& admin, conf::Problems& problems) {
    const std::filesystem::path file{*admin.state_file};
    if (file.empty()) return;
    std::error_code unknown;
    const auto folder = file.parent_path();
    const char* what = std::filesystem::is_directory(file, unknown) ? "it is a folder"
                       : !folder.empty() && !std::filesystem::is_directory(folder, unknown)
                           ? "its folder does not exist"
                           : nullptr;
    if (what)
        problems.push_back({Severity::warning, admin.state_file.mark, admin.state_file.path,
                            "orders will not outlive a restart in " + file.string() + ": " + what});
}

}  // namespace

void try_start(const conf::Config& config, conf::Problems& problems) {
    for (const auto& listener : config.listeners) try_address(listener.address, listener.address.path, problems);
    if (config.admin.listen) try_address(*config.admin.listen, "admin.listen", problems);
    try_access_log(config.log, problems);
    try_state_file(config.admin, problems);
}

}  // namespace nearhop::run
