/// faults_load: the clients of the fault suite (tests/faults). It begins a request whenever one is due, whatever became
/// of those before (an open loop), over HTTP/1.1 and HTTP/2, each with an id of its own, and appends one line for each
/// to a file: began and took in microseconds of the monotonic clock, id, method, kind, protocol, status, outcome,
/// region. Nothing is retried here: what a client would see is what is written. Ends its load when stdin ends.
#include "bench/tools/faults_client.h"

#include <algorithm>
#include <csignal>
#include <list>

namespace nearhop::bench {
namespace {

constexpr std::uint64_t second = 1'000'000'000;

Request make_request(std::uint64_t n, const Settings& s) {
    static const char* countries[] = {"DE", "US", "JP"};
    Request r;
    r.id = s.tag + std::to_string(n);
    r.country = countries[n % 3];
    r.http2 = n / 30 % 2 == 1;
    switch (s.only_gets ? 0 : n % 10) {
        case 6: r.target = "/large"; break;
        case 7: r.method = "PUT", r.upload = 4096; break;
        case 8:
        case 9: r.method = "POST", r.upload = 1024; break;
        default: break;
    }
    return r;
}

class Load {
public:
    Load(const Settings& s, Journal& journal) : s_(s), journal_(journal) {}

    void run() {
        poller_.add(STDIN_FILENO, EPOLLIN, nullptr);
        const std::uint64_t from = now_ns();
        std::uint64_t n = 0, swept = from, end = 0;
        epoll_event events[256];
        while (end == 0 || (busy() && now_ns() < end)) {
            std::uint64_t due = due_at(from, n);
            const std::uint64_t now = now_ns();
            if (end == 0 && due + second / 10 < now) n = index_at(from, now), due = now;  // no bursts
            const int wait = end != 0 ? 10 : due <= now ? 0 : static_cast<int>((due - now) / 1'000'000) + 1;
            const int count = poller_.wait(events, wait);
            for (int i = 0; i < count; ++i) {
                if (events[i].data.ptr == nullptr) {
                    if (end == 0) end = now_ns() + 20 * second;
                    poller_.modify(STDIN_FILENO, 0, nullptr);
                    continue;
                }
                static_cast<Client*>(events[i].data.ptr)->drive();
            }
            for (; end == 0 && due_at(from, n) <= now_ns(); ++n) begin(make_request(n, s_));
            if (now_ns() > swept + second / 20) {
                swept = now_ns();
                for (auto& client : clients_) client->give_up(swept - 20 * second);
                journal_.flush();
            }
            clients_.remove_if([](const auto& client) { return client->dead && !client->busy(); });
        }
        for (auto& client : clients_) client->give_up(~0ULL);
        journal_.flush();
    }

private:
    /// A quarter of the rate for the first half second: connections are made before all of them are needed at once.
    std::uint64_t due_at(std::uint64_t from, std::uint64_t n) const {
        const std::uint64_t slow = s_.rate / 8;
        return n < slow ? from + n * 4 * second / s_.rate : from + second / 2 + (n - slow) * second / s_.rate;
    }
    std::uint64_t index_at(std::uint64_t from, std::uint64_t now) const {
        if (now < from + second / 2) return (now - from) * s_.rate / 4 / second;
        return s_.rate / 8 + (now - from - second / 2) * s_.rate / second;
    }

    bool busy() const {
        return std::any_of(clients_.begin(), clients_.end(), [](const auto& c) { return c->busy(); });
    }

    /// HTTP/1.1: a connection without a request, or a new one. HTTP/2: four connections in turn.
    void begin(Request request) {
        request.began = now_ns();
        Client* chosen = nullptr;
        std::size_t usable = 0;
        const std::size_t turn = turn_++ % 4;
        for (auto& client : clients_) {
            if (client->http2() != request.http2 || !client->free()) continue;
            if (!request.http2 || usable++ == turn) {
                chosen = client.get();
                break;
            }
        }
        if (chosen == nullptr) {
            clients_.push_back(request.http2 ? http2_client(s_, poller_, journal_)
                                             : http1_client(s_, poller_, journal_));
            chosen = clients_.back().get();
        }
        chosen->begin(std::move(request));
    }

    const Settings& s_;
    Journal& journal_;
    Poller poller_;
    std::list<std::unique_ptr<Client>> clients_;
    std::uint64_t turn_ = 0;
};

}  // namespace
}  // namespace nearhop::bench

int main(int argc, char** argv) {
    using namespace nearhop::bench;
    std::signal(SIGPIPE, SIG_IGN);
    const SslContext tls = tls_context(TLS_client_method());
    SSL_CTX_set_verify(tls.get(), SSL_VERIFY_PEER, nullptr);
    if (SSL_CTX_load_verify_locations(tls.get(), option(argc, argv, "--ca", "").c_str(), nullptr) != 1) die("--ca");
    const Settings s{static_cast<std::uint16_t>(std::atoi(option(argc, argv, "--port", "0").c_str())),
                     std::strtoull(option(argc, argv, "--rate", "300").c_str(), nullptr, 10),
                     option(argc, argv, "--mix", "all") == "gets", option(argc, argv, "--tag", "r"), tls.get()};
    Journal journal(option(argc, argv, "--out", "/dev/stdout"));
    Load(s, journal).run();
}
