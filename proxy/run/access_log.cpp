#include "proxy/run/access_log.h"

#include "proxy/run/access_line.h"
#include "proxy/run/byte_ring.h"
#include "proxy/run/log_file.h"
#include "proxy/run/logging.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <pthread.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace nearhop::run {
namespace {

/// Lines reach the file within this; workers make no system call to wake the writer.
constexpr int poll_ms = 50;
/// How long a reader that does not read is waited for, each time and at the end.
constexpr int patience_ms = 50;
constexpr int last_patience_ms = 1000;

std::uint64_t lines_in(std::string_view bytes) noexcept {
    return static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
}

}  // namespace

struct AccessLog::Lane::Ring {
    Ring(conf::LogFormat form, admin::Counter& lost) : format{form}, dropped{lost} {}

    ByteRing<1024 * 1024> bytes;
    std::unique_ptr<char[]> line = std::make_unique_for_overwrite<char[]>(access_line_room);
    conf::LogFormat format;
    admin::Counter& dropped;
};

void AccessLog::Lane::write(const AccessRecord& record) noexcept {
    if (!ring_) return;
    if (!ring_->bytes.push(format_access_line(ring_->line.get(), record, ring_->format))) ring_->dropped.add();
}

struct AccessLog::Impl {
    Impl(const conf::Log& log, admin::Registry& registry)
        : where{*log.access}, written_off{registry.log_write_dropped} {
        lanes.resize(registry.workers());
        if (where == "off") return;
        std::string error;
        if (!file.open(where, error)) throw std::runtime_error{error};
        wakeup = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (wakeup < 0) throw std::runtime_error{std::string{"cannot make an eventfd: "} + std::strerror(errno)};
        for (unsigned i = 0; i < registry.workers(); ++i)
            lanes[i].ring_ = std::make_shared<Lane::Ring>(*log.format, registry.worker(i).log_dropped);
        start();
    }
    ~Impl() {
        if (writer.joinable()) {
            stopping.store(true, std::memory_order_release);
            wake();
            writer.join();
        }
        if (wakeup >= 0) ::close(wakeup);
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void start() {
        // Signals are for the control thread; a pipe without a reader is an error of write().
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            writer = std::thread{[this] { run(); }};
        } catch (...) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            ::close(wakeup);
            throw;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    void wake() const noexcept {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(wakeup, &one, sizeof one);
    }

    void run() noexcept {
        while (!stopping.load(std::memory_order_acquire)) {
            pollfd woken{wakeup, POLLIN, 0};
            ::poll(&woken, 1, poll_ms);
            std::uint64_t ignored = 0;
            [[maybe_unused]] const auto drained = ::read(wakeup, &ignored, sizeof ignored);
            // What is queued belongs to the old file: that is where a rotation expects it.
            write_queued(patience_ms);
            if (reopening.exchange(false, std::memory_order_acq_rel)) reopen();
        }
        if (write_queued(last_patience_ms) == LogFile::Result::busy) give_up();
    }

    /// Everything of every lane, or as much as the file takes.
    LogFile::Result write_queued(int patience) noexcept {
        for (std::size_t visited = 0; visited < lanes.size(); ++visited) {
            const auto result = write_lane(*lanes[current].ring_, patience);
            // A line may be half written: its lane goes on where it stopped, before any other.
            if (result == LogFile::Result::busy) return result;
            current = (current + 1) % lanes.size();
        }
        return LogFile::Result::written;
    }

    LogFile::Result write_lane(Lane::Ring& ring, int patience) noexcept {
        auto pieces = ring.bytes.peek();
        if (pieces[0].empty()) return LogFile::Result::written;
        const std::size_t queued = pieces[0].size() + pieces[1].size();
        auto result = file.write(pieces[0], patience);
        if (result == LogFile::Result::written) result = file.write(pieces[1], patience);
        const int why = errno;
        if (result == LogFile::Result::busy) {
            ring.bytes.pop(queued - pieces[0].size() - pieces[1].size());
            return result;
        }
        ring.bytes.pop(queued);
        written_off.add(lines_in(pieces[0]) + lines_in(pieces[1]));
        tell(result == LogFile::Result::failed, why);
        return result;
    }

    /// Once when it begins and once when it is over, however many lines it costs.
    void tell(bool failed_now, int why) noexcept {
        if (failed_now == failing) return;
        failing = failed_now;
        if (failing)
            log_error("access_log_failed", {{"file", where}, {"error", std::strerror(why)}});
        else
            log_info("access_log_recovered", {{"file", where}});
    }

    void give_up() noexcept {
        for (const Lane& lane : lanes)
            for (const auto piece : lane.ring_->bytes.peek()) written_off.add(lines_in(piece));
    }

    void reopen() noexcept {
        std::string error;
        if (file.open(where, error))
            log_info("access_log_reopened", {{"file", where}});
        else
            log_error("access_log_failed", {{"file", where}, {"error", error}});
    }

    const std::string where;
    admin::Counter& written_off;
    std::vector<Lane> lanes;
    LogFile file;
    std::size_t current = 0;  ///< lane that is written next
    bool failing = false;
    int wakeup = -1;
    std::atomic<bool> stopping{false};
    std::atomic<bool> reopening{false};
    std::thread writer;
};

AccessLog::AccessLog(const conf::Log& log, admin::Registry& registry) : impl_{std::make_unique<Impl>(log, registry)} {}
AccessLog::~AccessLog() = default;

bool AccessLog::enabled() const noexcept { return impl_->writer.joinable(); }

AccessLog::Lane& AccessLog::lane(unsigned worker) noexcept { return impl_->lanes[worker]; }

void AccessLog::reopen() noexcept {
    if (!enabled()) return;
    impl_->reopening.store(true, std::memory_order_release);
    impl_->wake();
}

}  // namespace nearhop::run
