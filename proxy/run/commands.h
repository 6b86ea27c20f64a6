#pragma once

#include <cstdint>
#include <string>

namespace nearhop::run {

/// What a command ends with; `nearhop COMMAND --help` lists them.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;  ///< something went wrong while it ran
inline constexpr int exit_usage = 2;   ///< the configuration or the call has errors: trying again does not help

/// The whole command line: `nearhop run | check | explain | simulate | drain | force-up | force-down | clear | demo |
/// version`. Returns the exit code.
int command_line(int argc, char** argv);

struct DemoOptions {
    std::uint16_t port = 8443;        ///< 0: any free one
    std::uint16_t admin_port = 9180;  ///< 0: any free one
};

// Where the commands that serve live: proxy/run/run.cpp and proxy/run/demo.cpp.
int run_proxy(const std::string& config_file);
int run_demo(const DemoOptions& options);

// Each in a file of its own.
int check_file(const std::string& file);
int simulate_file(const std::string& file, bool json);

struct ExplainOptions {
    std::string config;  ///< empty: three AWS regions, built in
    std::string ip, country, latitude, longitude;
    std::string host, path = "/", method = "GET";
    bool json = false;
};
int explain_request(const ExplainOptions& options);

/// How a command finds the admin listener of a running edge.
struct AdminOptions {
    std::string config;       ///< the edge's own file: where it listens, its token, its certificate; empty: none
    std::string address;      ///< "127.0.0.1:9180", "https://edge1.example:9180"; empty: as `config`, else the default
    std::string token_file;   ///< empty: as `config`, else none
    std::string ca;           ///< PEM file: whom to trust instead; makes it TLS
    std::string server_name;  ///< instead of the host in `address`
    std::string certificate;  ///< shown where admin.tls asks for one, with `private_key`
    std::string private_key;
};

struct OrderOptions {
    std::string action;  ///< drain, force-up, force-down, clear
    std::string origin, author, reason;
    std::string lasts;  ///< empty: 4h
    bool force = false;
    bool wait = false;    ///< drain and force-down: until nothing is in flight there
    std::string at_most;  ///< of the wait; empty: as long as the order holds
    AdminOptions at;
};
/// Throws std::runtime_error with a sentence when it does not come to an answer.
int order_origin(const OrderOptions& options);

}  // namespace nearhop::run
