#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace nearhop::bench {

/// CPU time that a set of processes has used so far, two ways.
struct CpuTime {
    std::uint64_t exact_ns = 0;   ///< scheduler's own sum over all threads (/proc/PID/task/*/schedstat)
    std::uint64_t user_ns = 0;    ///< utime and stime of /proc/PID/stat: coarse, but they also
    std::uint64_t system_ns = 0;  ///< hold the threads that have ended
};

inline CpuTime operator-(const CpuTime& a, const CpuTime& b) {
    return {a.exact_ns - b.exact_ns, a.user_ns - b.user_ns, a.system_ns - b.system_ns};
}

inline CpuTime cpu_time(const std::vector<int>& pids) {
    CpuTime total;
    const auto tick_ns = 1'000'000'000ull / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    for (const int pid : pids) {
        const std::string root = "/proc/" + std::to_string(pid);
        std::error_code gone;
        for (const auto& task : std::filesystem::directory_iterator(root + "/task", gone)) {
            std::uint64_t ran = 0;
            std::ifstream(task.path() / "schedstat") >> ran;
            total.exact_ns += ran;
        }
        std::string line;
        std::getline(std::ifstream(root + "/stat"), line);
        const auto after_name = line.rfind(')');  // the name may hold spaces and brackets
        if (after_name == std::string::npos) continue;
        std::istringstream fields(line.substr(after_name + 1));
        std::string skipped;
        for (int i = 0; i < 11; ++i) fields >> skipped;  // state .. cmajflt
        std::uint64_t user = 0, system = 0;
        fields >> user >> system;
        total.user_ns += user * tick_ns;
        total.system_ns += system * tick_ns;
    }
    return total;
}

}  // namespace nearhop::bench
