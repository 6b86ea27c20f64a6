#pragma once

#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

struct evp_pkey_st;
struct ssl_ctx_st;
struct ssl_st;
struct x509_st;

namespace nearhop::control {

/// A directory that goes with the test.
class Folder {
public:
    Folder();
    ~Folder();
    std::string file(const std::string& name) const { return (path_ / name).string(); }
    std::string write(const std::string& name, std::string_view content) const;

private:
    std::filesystem::path path_;
};

/// A key and its certificate, made on the spot; signed by `issuer`, or by itself.
struct Identity {
    struct Options {
        std::string names = "DNS:origin.test,IP:127.0.0.1";  ///< subjectAltName; empty: none
        int begins_days = -1, ends_days = 30;
        bool authority = false;
        const Identity* issuer = nullptr;
        std::string kind = "P-256";  ///< of the key: a curve, "RSA", "ED25519"
        std::string common_name{};   ///< empty: one of its own
    };
    explicit Identity(const Options& options);
    ~Identity();
    Identity(const Identity&) = delete;
    Identity& operator=(const Identity&) = delete;

    std::string certificate_pem() const;
    std::string key_pem() const;

    evp_pkey_st* key = nullptr;
    x509_st* certificate = nullptr;
};

/// The origin's end of one connection, on a thread of its own; blocking.
class Peer {
public:
    Peer(int descriptor, ssl_ctx_st* tls);
    ~Peer();
    bool handshake();  ///< done by the origin before its script runs, where it has TLS
    std::string read_head();
    std::size_t read_body(std::size_t bytes);  ///< how many came before the other side closed
    void send(std::string_view bytes);
    void wait_for_close();
    void drop_packets();  ///< what the other side sends from now on is lost on the way

    int connection = 0;  ///< counted from 0

private:
    std::string read_some();
    int descriptor_;
    ssl_ctx_st* context_;
    ssl_st* tls_ = nullptr;
    std::string unread_;
};

/// An origin on 127.0.0.1 that does what its script says, one thread per connection.
class ScriptedOrigin {
public:
    using Script = std::function<void(Peer&)>;
    explicit ScriptedOrigin(Script script, const Identity* identity = nullptr);
    ~ScriptedOrigin();

    std::uint16_t port() const noexcept { return port_; }
    int connections() const noexcept { return connections_; }

    /// Answers every request of a connection with `answer`.
    static Script answering(std::string answer);

private:
    Script script_;
    ssl_ctx_st* tls_ = nullptr;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<int> connections_{0};
    std::mutex mutex_;
    std::vector<int> open_;             // guarded by mutex_
    std::vector<std::thread> threads_;  // guarded by mutex_
    std::thread acceptor_;
};

/// A DNS server on 127.0.0.1, UDP and TCP on one port.
class DnsServer {
public:
    struct Answer {
        int code = 0;                          ///< rcode
        std::vector<std::string> addresses{};  ///< of the asked type's family
        std::uint32_t ttl = 30;
        bool silent = false;                       ///< no answer at all
        bool truncated_over_udp = false;           ///< sets TC, so that the asker comes back over TCP
        std::optional<std::string> raw_records{};  ///< instead of addresses: one record's bytes, as they are
    };
    DnsServer();
    ~DnsServer();
    std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
    void set(const std::string& name, bool v6, Answer answer);
    int questions() const noexcept { return questions_; }

private:
    std::string answer(std::string_view question, bool over_tcp);
    void serve();
    int udp_ = -1, tcp_ = -1, stop_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<int> questions_{0};
    std::mutex mutex_;
    std::map<std::pair<std::string, bool>, Answer> answers_;  // guarded by mutex_
    std::thread thread_;
};

/// A port on 127.0.0.1 where nobody listens.
std::uint16_t closed_port();

/// Runs `body` on `loop` to its end; false when it has not ended after 20 s.
bool drive(loop::Loop& loop, loop::Task<> body);

/// Comes back once `done` says so, which is asked every few milliseconds; false after 10 s.
loop::Task<bool> until(loop::Loop& loop, std::function<bool()> done);

}  // namespace nearhop::control
