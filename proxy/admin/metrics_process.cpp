#include "proxy/admin/family.h"

#include <charconv>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

namespace nearhop::admin {
namespace {

/// Field `number` of /proc/self/stat, counted as in proc(5); 0 when it cannot be read. The name in field 2 may hold
/// anything, so counting begins behind its closing bracket.
std::uint64_t stat_field(unsigned number) {
    std::ifstream file{"/proc/self/stat"};
    std::string text;
    std::getline(file, text);
    std::string_view rest = text;
    rest.remove_prefix(std::min(rest.size(), rest.rfind(')') + 2));
    for (unsigned at = 3; at < number; ++at) rest.remove_prefix(std::min(rest.size(), rest.find(' ') + 1));
    std::uint64_t value = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), value);
    return value;
}

double cpu_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double start_time() {
    timespec wall{}, boot{};
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    const auto seconds = [](const timespec& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
    };
    return seconds(wall) - seconds(boot) +
           static_cast<double>(stat_field(22)) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double open_descriptors() {
    DIR* folder = opendir("/proc/self/fd");
    if (!folder) return 0;
    double count = -1;  // the folder's own descriptor
    while (const dirent* entry = readdir(folder))
        if (entry->d_name[0] != '.') ++count;
    closedir(folder);
    return count;
}

}  // namespace

void add_process(Families& out) {
    Family cpu = counter("process_cpu_seconds_total", "CPU time used, user and system.");
    cpu.add({}, cpu_seconds());
    Family memory = gauge("process_resident_memory_bytes", "Resident memory.");
    memory.add({}, stat_field(24) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
    Family descriptors = gauge("process_open_fds", "Open file descriptors.");
    descriptors.add({}, open_descriptors());
    Family most = gauge("process_max_fds", "File descriptors that may be open.");
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    most.add({}, static_cast<std::uint64_t>(limit.rlim_cur));
    // Once: a clock that is set does not move it.
    static const double started = start_time();
    Family start = gauge("process_start_time_seconds", "When the process started.");
    start.add({}, started);
    take_all(out, cpu, memory, descriptors, most, start);
}

}  // namespace nearhop::admin
