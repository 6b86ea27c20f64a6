#pragma once

#include "bench/tools/wire.h"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

/// One client of the fault suite, of either protocol, and the journal in which it writes what it saw.
namespace nearhop::bench {

inline constexpr std::string_view host = "api.example.com";

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

/// What of a field in an answer's head counts.
void take_field(Request& r, std::string name, std::string_view value);

/// A line for each request: what a client would see.
class Journal {
public:
    explicit Journal(const std::string& file);
    /// `outcome` is "" for a whole answer.
    void done(const Request& r, std::string outcome);
    void flush() { std::fflush(file_); }

private:
    std::FILE* file_;
};

/// One client connection of either protocol.
class Client {
public:
    Client(const Settings& s, Poller& poller, Journal& journal, bool http2);
    virtual ~Client() = default;

    virtual void begin(Request request) = 0;
    virtual void give_up(std::uint64_t before) = 0;  ///< on requests that began before that
    virtual bool free() const = 0;
    virtual bool busy() const = 0;
    bool http2() const { return http2_; }

    void drive();

    bool dead = false;

protected:
    virtual void open() {}
    virtual bool consume(std::string_view data) = 0;  ///< false: malformed
    virtual bool more(std::string& out) = 0;          ///< appends what is to be sent
    virtual void lost(const char* why) = 0;           ///< each request in flight has failed

    void fail(const char* why);

    void receive();

    void transmit();

    void watch(bool write);

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

std::unique_ptr<Client> http1_client(const Settings& s, Poller& poller, Journal& journal);
std::unique_ptr<Client> http2_client(const Settings& s, Poller& poller, Journal& journal);

}  // namespace nearhop::bench
