/// faults_load: the clients of the fault suite (tests/faults). It begins a request whenever one is due, whatever became
/// of those before (an open loop), over HTTP/1.1 and HTTP/2, each with an id of its own, and appends one line for each
/// to a file: began and took in microseconds of the monotonic clock, id, method, kind, protocol, status, outcome,
/// region. Nothing is retried here: what a client would see is what is written. Ends its load when stdin ends.
#include "bench/tools/wire.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <csignal>
#include <list>
#include <map>
#include <vector>

namespace nearhop::bench {
namespace {

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::string_view host = "api.example.com";

struct Settings {
    std::uint16_t port;
    std::uint64_t rate;
    bool only_gets;
    std::string tag;  ///< in front of each id
    SSL_CTX* tls;
};

/// What is asked for, and what has come of it.
struct Request {
    std::uint64_t began = 0;
    std::string id;
    const char* method = "GET";
    const char* target = "/small";
    const char* country = "";
    std::size_t upload = 0;
    bool http2 = false;

    int status = 0;
    std::string region;
    std::string echo;
    bool has_length = false;
    std::uint64_t length = 0;
    std::uint64_t got = 0;
    bool close = false;

    std::size_t uploaded = 0;
};

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

void take_field(Request& r, std::string name, std::string_view value) {
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (name == ":status") r.status = std::atoi(std::string(value).c_str());
    if (name == "x-region") r.region = value;
    if (name == "x-echo") r.echo = value;
    if (name == "connection") r.close = value == "close";
    if (name == "content-length") {
        r.has_length = true;
        r.length = std::strtoull(std::string(value).c_str(), nullptr, 10);
    }
}

class Journal {
public:
    explicit Journal(const std::string& file) : file_(std::fopen(file.c_str(), "a")) {
        if (file_ == nullptr) die("--out");
    }
    /// `outcome` is "" for a whole answer.
    void done(const Request& r, std::string outcome) {
        const std::uint64_t now = now_ns();
        if (outcome.empty()) {
            const bool good = r.status / 100 == 2;
            outcome = !good ? "status" : r.echo != r.id ? "another's" : "ok";
        }
        std::fprintf(file_, "%llu %llu %s %s %s %s %d %s %s\n", static_cast<unsigned long long>(r.began / 1000),
                     static_cast<unsigned long long>((now - r.began) / 1000), r.id.c_str(), r.method, r.target + 1,
                     r.http2 ? "h2" : "h1", r.status, outcome.c_str(), r.region.empty() ? "-" : r.region.c_str());
    }
    void flush() { std::fflush(file_); }

private:
    std::FILE* file_;
};

/// One client connection of either protocol.
class Client {
public:
    Client(const Settings& s, Poller& poller, Journal& journal, bool http2)
        : s_(s), poller_(poller), journal_(journal), http2_(http2) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        no_delay(fd);
        SslPtr ssl(SSL_new(s.tls));
        SSL_set_connect_state(ssl.get());
        SSL_set_tlsext_host_name(ssl.get(), host.data());
        static constexpr unsigned char h1[] = "\x08http/1.1", h2[] = "\x02h2";
        SSL_set_alpn_protos(ssl.get(), http2 ? h2 : h1, http2 ? 3 : 9);
        stream_ = Stream(fd, std::move(ssl));
        const sockaddr_in to = loopback(s.port);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS) dead = true;
        poller_.add(fd, EPOLLIN | EPOLLOUT, this);
    }
    virtual ~Client() = default;

    virtual void begin(Request request) = 0;
    virtual void give_up(std::uint64_t before) = 0;  ///< on requests that began before that
    virtual bool free() const = 0;
    virtual bool busy() const = 0;
    bool http2() const { return http2_; }

    void drive() {
        if (dead) return;
        const Io io = stream_.handshake();
        if (io == Io::again) return watch(false);
        if (io != Io::ok) return fail("handshake");
        if (!opened_) opened_ = true, open();
        if (!dead) receive();
        if (!dead) transmit();
    }

    bool dead = false;

protected:
    virtual void open() {}
    virtual bool consume(std::string_view data) = 0;  ///< false: malformed
    virtual bool more(std::string& out) = 0;          ///< appends what is to be sent
    virtual void lost(const char* why) = 0;           ///< each request in flight has failed

    void fail(const char* why) {
        dead = true;
        lost(why);
    }

    void receive() {
        static char buffer[64 * 1024];
        for (;;) {
            std::size_t got = 0;
            const Io io = stream_.read(buffer, sizeof buffer, got);
            if (io == Io::again) return;
            if (io != Io::ok) return fail(io == Io::closed ? "closed" : "reset");
            if (!consume({buffer, got})) return fail("malformed");
            if (dead) return;
        }
    }

    void transmit() {
        if (!opened_) return;
        for (;;) {
            if (sent_ == out_.size()) {
                out_.clear();
                sent_ = 0;
                if (!more(out_)) return fail("malformed");
                if (out_.empty()) return watch(false);
            }
            std::size_t n = 0;
            const Io io = stream_.write(out_.data() + sent_, out_.size() - sent_, n);
            if (io == Io::again) return watch(true);
            if (io != Io::ok) return receive();  // an answer may have come before the end
            sent_ += n;
        }
    }

    void watch(bool write) {
        const std::uint32_t wanted = EPOLLIN | (write ? EPOLLOUT : 0U);
        if (wanted != watched_) poller_.modify(stream_.fd(), watched_ = wanted, this);
    }

    const Settings& s_;
    Poller& poller_;
    Journal& journal_;
    Stream stream_;
    std::string out_;
    std::size_t sent_ = 0;
    std::uint32_t watched_ = EPOLLIN | EPOLLOUT;
    bool opened_ = false;
    bool http2_;
};

class Http1 final : public Client {
public:
    using Client::Client;

    bool free() const override { return !dead && !active_; }
    bool busy() const override { return active_; }

    void begin(Request request) override {
        request_ = std::move(request);
        active_ = true;
        in_body_ = false;
        head_.clear();
        if (dead) return fail("connect");
        pending_ = std::string(request_.method) + " " + request_.target + " HTTP/1.1\r\nHost: " + std::string(host) +
                   "\r\nX-Id: " + request_.id + "\r\nCloudFront-Viewer-Country: " + request_.country + "\r\n";
        if (request_.upload != 0) pending_ += "Content-Length: " + std::to_string(request_.upload) + "\r\n";
        pending_ += "\r\n" + std::string(request_.upload, 'u');
        transmit();
    }

    void give_up(std::uint64_t before) override {
        if (active_ && request_.began < before) fail("timeout");
    }

private:
    bool more(std::string& out) override {
        out.swap(pending_);
        return true;
    }

    bool consume(std::string_view data) override {
        if (!active_) return false;  // nobody has asked
        if (!in_body_) {
            head_.append(data);
            const auto end = head_.find("\r\n\r\n");
            if (end == std::string::npos) return true;
            const std::string body = head_.substr(end + 4);
            head_.resize(end + 2);
            if (!head_.starts_with("HTTP/1.1 ")) return false;
            request_.status = std::atoi(head_.c_str() + 9);
            for (std::size_t line = head_.find("\r\n") + 2; line < head_.size();) {
                const auto next = head_.find("\r\n", line);
                const auto colon = head_.find(':', line);
                if (colon >= next) return false;
                const auto value = head_.find_first_not_of(' ', colon + 1);
                take_field(request_, head_.substr(line, colon - line),
                           std::string_view(head_).substr(value, next - value));
                line = next + 2;
            }
            in_body_ = true;
            request_.got = body.size();
        } else {
            request_.got += data.size();
        }
        if (!request_.has_length) return true;  // until the connection's end
        if (request_.got > request_.length) return false;
        if (request_.got == request_.length) {
            active_ = false;
            journal_.done(request_, "");
            if (request_.close) dead = true;
        }
        return true;
    }

    void lost(const char* why) override {
        if (!active_) return;
        active_ = false;
        if (in_body_ && !request_.has_length && std::string_view(why) == "closed") return journal_.done(request_, "");
        const bool late = std::string_view(why) == "timeout";
        journal_.done(request_, in_body_ && !late ? "truncated" : why);
    }

    Request request_;
    std::string pending_;
    std::string head_;
    bool active_ = false;
    bool in_body_ = false;
};

class Http2 final : public Client {
public:
    using Client::Client;
    ~Http2() override {
        if (session_ != nullptr) nghttp2_session_del(session_);
    }

    bool free() const override { return !dead && !leaving_; }
    bool busy() const override { return !requests_.empty() || !waiting_.empty(); }

    void begin(Request request) override {
        waiting_.push_back(std::move(request));
        if (dead) return fail("connect");
        if (opened_) submit();
        transmit();
    }

    void give_up(std::uint64_t before) override {
        for (auto& entry : requests_) {
            if (entry.second.began < before) return fail("timeout");
        }
        if (!waiting_.empty() && waiting_.front().began < before) fail("timeout");
    }

private:
    static Http2& self(void* user) { return *static_cast<Http2*>(user); }

    void open() override {
        nghttp2_session_callbacks* callbacks = nullptr;
        nghttp2_session_callbacks_new(&callbacks);
        nghttp2_session_callbacks_set_on_header_callback(
            callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                          const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
                const auto at = self(user).requests_.find(frame->hd.stream_id);
                if (at != self(user).requests_.end())
                    take_field(at->second, {reinterpret_cast<const char*>(name), name_size},
                               {reinterpret_cast<const char*>(value), value_size});
                return 0;
            });
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
            callbacks,
            [](nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t*, std::size_t size, void* user) {
                const auto at = self(user).requests_.find(stream);
                if (at != self(user).requests_.end()) at->second.got += size;
                return 0;
            });
        nghttp2_session_callbacks_set_on_frame_recv_callback(
            callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
                if (frame->hd.type == NGHTTP2_GOAWAY) self(user).leaving_ = true;
                return 0;
            });
        nghttp2_session_callbacks_set_on_stream_close_callback(
            callbacks, [](nghttp2_session*, std::int32_t stream, std::uint32_t code, void* user) {
                self(user).closed(stream, code);
                return 0;
            });
        nghttp2_session_client_new(&session_, callbacks, this);
        nghttp2_session_callbacks_del(callbacks);
        const nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1024 * 1024};
        nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &window, 1);
        nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 16 * 1024 * 1024);
        submit();
    }

    void submit() {
        for (Request& request : std::exchange(waiting_, {})) {
            const std::string length = std::to_string(request.upload);
            std::vector<nghttp2_nv> fields;
            const auto add = [&](std::string_view name, std::string_view value) {
                fields.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                                  reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
                                  value.size(), NGHTTP2_NV_FLAG_NONE});
            };
            add(":method", request.method);
            add(":scheme", "https");
            add(":authority", host);
            add(":path", request.target);
            add("x-id", request.id);
            add("cloudfront-viewer-country", request.country);
            if (request.upload != 0) add("content-length", length);
            nghttp2_data_provider body{};
            body.read_callback = [](nghttp2_session*, std::int32_t stream, std::uint8_t* to, std::size_t size,
                                    std::uint32_t* flags, nghttp2_data_source*, void* user) -> ssize_t {
                Request& r = self(user).requests_.at(stream);
                const std::size_t n = std::min(size, r.upload - r.uploaded);
                std::memset(to, 'u', n);
                r.uploaded += n;
                if (r.uploaded == r.upload) *flags |= NGHTTP2_DATA_FLAG_EOF;
                return static_cast<ssize_t>(n);
            };
            const std::int32_t stream = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                                               request.upload != 0 ? &body : nullptr, nullptr);
            if (stream < 0) {
                journal_.done(request, "refused");
            } else {
                requests_[stream] = std::move(request);
            }
        }
    }

    void closed(std::int32_t stream, std::uint32_t code) {
        const auto at = requests_.find(stream);
        if (at == requests_.end()) return;
        Request& r = at->second;
        const bool whole = code == NGHTTP2_NO_ERROR && r.status != 0 && (!r.has_length || r.got == r.length);
        journal_.done(r, whole                            ? ""
                         : r.status != 0                  ? "truncated"
                         : code == NGHTTP2_REFUSED_STREAM ? "refused"
                                                          : "reset");
        requests_.erase(at);
    }

    bool more(std::string& out) override {
        const std::uint8_t* data = nullptr;
        for (;;) {
            const ssize_t n = nghttp2_session_mem_send(session_, &data);
            if (n < 0) return false;
            if (n == 0) break;
            out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
        }
        if (leaving_ && requests_.empty() && out.empty()) dead = true;
        return true;
    }

    bool consume(std::string_view data) override {
        return nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(data.data()), data.size()) >= 0;
    }

    void lost(const char* why) override {
        for (const auto& [stream, request] : std::exchange(requests_, {})) {
            const bool late = std::string_view(why) == "timeout";
            journal_.done(request, request.status != 0 && !late ? "truncated" : why);
        }
        for (const Request& request : std::exchange(waiting_, {})) journal_.done(request, why);
    }

    nghttp2_session* session_ = nullptr;
    std::map<std::int32_t, Request> requests_;
    std::vector<Request> waiting_;
    bool leaving_ = false;
};

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
            if (request.http2)
                clients_.push_back(std::make_unique<Http2>(s_, poller_, journal_, true));
            else
                clients_.push_back(std::make_unique<Http1>(s_, poller_, journal_, false));
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
