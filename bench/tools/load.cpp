/// bench_load: the load generator of the side-by-side run. Closed loop, one thread, HTTP/1.1 over TLS 1.3 or plain.
/// It reads the CPU time of the processes under test itself, at the very start and end of the measured span, and
/// prints one JSON line.
///
///   bench_load --port P --mode keepalive|full|resumed|idle --request small|download|upload --connections N
///              --warmup SECONDS --seconds SECONDS [--count REQUESTS] [--pids 1,2] [--tls 0] [--hold 1]
///
/// full and resumed make one connection per request; idle opens N connections, asks once on each, and holds them.
/// With --hold (always with idle) a line on stdin is awaited after "ready" and after the result.
#include "bench/tools/clients.h"
#include "bench/tools/cpu.h"

#include <csignal>
#include <memory>
#include <sstream>

namespace nearhop::bench {
namespace {

struct Settings {
    std::uint16_t port = 0;
    Mode mode = Mode::keepalive;
    std::string request = "small";
    std::size_t connections = 32;
    double warmup = 0.5;
    double seconds = 2;
    std::uint64_t count = 0;  ///< ends the span after so many requests; 0: by time alone
    std::vector<int> pids;
    bool tls = true;
    bool hold = false;
};

Settings settings_from(int argc, char** argv) {
    const auto value = [&](std::string_view name, const char* fallback) { return option(argc, argv, name, fallback); };
    Settings s;
    s.port = static_cast<std::uint16_t>(std::stoul(value("--port", "0")));
    const std::string mode = value("--mode", "keepalive");
    if (mode == "full") s.mode = Mode::full;
    if (mode == "resumed") s.mode = Mode::resumed;
    if (mode == "idle") s.mode = Mode::idle;
    s.request = value("--request", "small");
    s.connections = std::stoul(value("--connections", "32"));
    s.warmup = std::stod(value("--warmup", "0.5"));
    s.seconds = std::stod(value("--seconds", "2"));
    s.count = std::stoull(value("--count", "0"));
    s.tls = value("--tls", "1") == "1";
    s.hold = value("--hold", "0") == "1" || s.mode == Mode::idle;
    std::istringstream pids(value("--pids", ""));
    for (std::string pid; std::getline(pids, pid, ',');) s.pids.push_back(std::stoi(pid));
    return s;
}

std::uint64_t in_ns(double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); }

void say(const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
}

void await_line() {
    char line[64];
    if (std::fgets(line, sizeof line, stdin) == nullptr) std::exit(0);  // the one who asked has gone
}

std::string result(Clients& clients, std::uint64_t span, const CpuTime& proxy, const CpuTime& own) {
    std::ostringstream out;
    const Tally& tally = clients.tally;
    out << "{\"requests\": " << tally.requests << ", \"bytes\": " << tally.bytes << ", \"resumed\": " << tally.resumed
        << ", \"seconds\": " << static_cast<double>(span) / 1e9 << ", \"open\": " << clients.open_connections()
        << ", \"p50_us\": " << clients.tally.percentile_us(0.5) << ", \"p99_us\": " << clients.tally.percentile_us(0.99)
        << ", \"tls\": \"" << clients.tls_used() << "\", \"cpu_ns\": " << proxy.exact_ns
        << ", \"user_ns\": " << proxy.user_ns << ", \"system_ns\": " << proxy.system_ns
        << ", \"load_cpu_ns\": " << own.exact_ns << ", \"error_count\": " << tally.error_count() << ", \"errors\": {";
    const char* comma = "";
    for (const auto& [what, n] : tally.errors) {
        out << comma << '"' << what << "\": " << n;
        comma = ", ";
    }
    out << "}}";
    return out.str();
}

void run(const Settings& s) {
    const auto clients = std::make_unique<Clients>(s.port, s.mode, s.request, s.connections, s.tls);
    const auto broken = [&] { return clients->tally.error_count() > 1000; };

    // Warm when the time is over and there were as many answers as connections; a proxy that never gets there is
    // an error, not a hang.
    const std::uint64_t warm = now_ns() + in_ns(s.warmup);
    while ((now_ns() < warm || clients->answered() < s.connections) && !broken()) {
        clients->turn();
        if (now_ns() < warm + in_ns(30)) continue;
        ++clients->tally.errors["warmup_stalled"];
        break;
    }
    if (s.hold) {
        say("{\"event\": \"ready\"}");
        await_line();
    }

    clients->begin_measuring();
    const CpuTime proxy_before = cpu_time(s.pids);
    const CpuTime own_before = cpu_time({::getpid()});
    const std::uint64_t from = now_ns();
    const auto wanted = [&] {
        return now_ns() < from + in_ns(s.seconds) && (s.count == 0 || clients->tally.requests < s.count);
    };
    while (s.mode != Mode::idle && wanted() && !broken()) clients->turn();
    const std::uint64_t to = now_ns();
    const CpuTime proxy = cpu_time(s.pids) - proxy_before;
    const CpuTime own = cpu_time({::getpid()}) - own_before;
    clients->end_measuring();
    if (s.mode == Mode::idle) clients->count_lost();

    say(result(*clients, to - from, proxy, own));
    if (s.hold) await_line();
}

}  // namespace
}  // namespace nearhop::bench

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    nearhop::bench::run(nearhop::bench::settings_from(argc, argv));
}
