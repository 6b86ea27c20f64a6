#include "proxy/run/commands.h"

#include "conf/parse.h"
#include "conf/syntax.h"
#include "proxy/account/version.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

namespace nearhop::run {
namespace {

constexpr const char* exit_codes =
    "Exit codes: 0 success; 1 failure while running; 2 errors in the "
    "configuration or in the command line.";

CLI::App* add(CLI::App& app, const std::string& name, const std::string& what) {
    CLI::App* command = app.add_subcommand(name, what);
    command->footer(exit_codes);
    return command;
}

void add_explain(CLI::App& app, ExplainOptions& options) {
    CLI::App* command = add(app, "explain", "Print step by step which origin a request would go to, and why");
    command->add_option("--ip", options.ip, "The client's address");
    command->add_option("--country", options.country, "The client's country: DE, or with a subdivision US-CA");
    command->add_option("--lat", options.latitude, "The client's latitude in degrees; needs --lon");
    command->add_option("--lon", options.longitude, "The client's longitude in degrees; needs --lat");
    command->add_option("--host", options.host,
                        "Requested host; default: a host of the default site, else of the first site");
    command->add_option("--path", options.path, "Requested path")->capture_default_str();
    command->add_option("--method", options.method, "Request method")->capture_default_str();
    command->add_option("-c,--config", options.config, "Configuration file; without it, three built-in AWS regions");
    command->add_flag("--json", options.json, "Print JSON");
}

void add_admin(CLI::App& command, AdminOptions& at) {
    command.add_option("-c,--config", at.config,
                       "The edge's configuration: says where it listens, token and certificate");
    command.add_option("--admin", at.address,
                       "Admin listener: ADDRESS:PORT or https://NAME:PORT; default: as --config, else 127.0.0.1:9180");
    command.add_option("--token-file", at.token_file, "File with admin.token; default: as --config");
    command.add_option("--ca", at.ca, "Authorities to trust, PEM; then the connection is TLS. Default: as --config");
    command.add_option("--server-name", at.server_name, "Name in the certificate; default: the host of --admin");
    CLI::Option* certificate = command.add_option("--certificate", at.certificate,
                                                  "The certificate to show if admin.tls has a client_ca, PEM");
    CLI::Option* key = command.add_option("--private-key", at.private_key, "Its key, PEM");
    certificate->needs(key);
    key->needs(certificate);
}

/// drain, force-up, force-down, clear: one set of options; the command is the `action`.
void add_orders(CLI::App& app, OrderOptions& options) {
    const std::pair<const char*, const char*> commands[] = {
        {"drain", "Keep new requests away from an origin of a running nearhop"},
        {"force-up", "Treat an origin as up, whatever probes and failures say"},
        {"force-down", "Treat an origin as down, whatever probes say"},
        {"clear", "End an order of drain, force-up or force-down"}};
    for (const auto& [name, what] : commands) {
        CLI::App* command = add(app, name, what);
        command->add_option("origin", options.origin, "The origin's name")->required();
        command->add_option("--author", options.author, "Who gives the order")->required();
        command->add_option("--reason", options.reason, "Why; both appear in the log and in /status")->required();
        if (std::string_view{name} != "clear")
            command->add_option("--for", options.lasts,
                                "How long the order holds, such as 90m; default: 4h, at most 168h");
        if (std::string_view{name} == "drain" || std::string_view{name} == "force-down") {
            command->add_flag("--force", options.force,
                              "Give the order even if the other origins have no room for its requests");
            command->add_flag("--wait", options.wait, "Return when nothing is in flight there, tunnels included");
            command->add_option("--at-most", options.at_most,
                                "How long --wait waits, such as 10m; default: as long as the order holds");
        }
        add_admin(*command, options.at);
        command->callback([&options, action = name] { options.action = action; });
    }
}

struct SimulateOptions {
    std::string file;
    bool json = false;
};

int chosen(const CLI::App& app, const std::string& config, const std::string& file, const ExplainOptions& explain,
           const SimulateOptions& simulate, const OrderOptions& order, const DemoOptions& demo) {
    if (!order.action.empty()) return order_origin(order);
    if (app.got_subcommand("run")) return run_proxy(config);
    if (app.got_subcommand("check")) return check_file(file);
    if (app.got_subcommand("explain")) return explain_request(explain);
    if (app.got_subcommand("simulate")) return simulate_file(simulate.file, simulate.json);
    if (app.got_subcommand("demo")) return run_demo(demo);
    std::printf("nearhop %.*s\n", static_cast<int>(account::version().size()), account::version().data());
    return exit_ok;
}

/// What is wrong with the command's or an option's name, in one sentence; CLI11 names neither what it found nor what is
/// near it.
std::string unknown_name(const CLI::App& app, int argc, char** argv) {
    const auto complaint = [](const std::string& what, const std::string& found,
                              const std::vector<std::string>& known) {
        const std::string near = conf::near_miss(found, known);
        return "no " + what + ' ' + conf::shown(found) + (near.empty() ? "" : ", did you mean \"" + near + "\"?");
    };
    std::vector<std::string> known;
    const std::string name = argc > 1 ? argv[1] : "--help";
    if (name.starts_with('-')) return {};
    const CLI::App* command = nullptr;
    for (const auto* one : app.get_subcommands([](const CLI::App*) { return true; })) {
        known.push_back(one->get_name());
        if (one->get_name() == name) command = one;
    }
    if (!command) return complaint("command", name, known);
    known.clear();
    for (const auto* option : command->get_options())
        for (const auto& text : option->get_lnames()) known.push_back("--" + text);
    for (int i = 2; i < argc; ++i) {
        const std::string found{std::string_view{argv[i]}.substr(0, std::string_view{argv[i]}.find('='))};
        if (found == "--") break;
        if (found.starts_with("--") && std::find(known.begin(), known.end(), found) == known.end())
            return complaint("option", found, known) + " (nearhop " + name + " --help lists them)";
    }
    return {};
}

/// If one of them is closed, the next file or socket would get its number, and all that is printed or logged.
void fill_standard_descriptors() noexcept {
    for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(number, F_GETFD) < 0) [[maybe_unused]]
            const int opened = ::open("/dev/null", O_RDWR);
}

/// A full disk must not look like a short answer.
int printed(int code) {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    std::fprintf(stderr, "nearhop: cannot write to standard output: %s\n", std::strerror(errno));
    return code == exit_ok ? exit_failed : code;
}

}  // namespace

int command_line(int argc, char** argv) {
    fill_standard_descriptors();
    CLI::App app{"nearhop sends each HTTPS request to the nearest healthy region.", "nearhop"};
    app.footer(exit_codes);
    app.require_subcommand(1);

    std::string config, file;
    ExplainOptions explain;
    SimulateOptions simulate;
    DemoOptions demo;
    add(app, "run",
        "Run the proxy; SIGHUP reloads the configuration, SIGTERM stops gracefully, SIGUSR1 reopens the log")
        ->add_option("-c,--config", config, "Configuration file")
        ->required();
    add(app, "check",
        "Print every problem of a configuration, with line and column, or how long clients notice a failure")
        ->add_option("file,-c,--config", file, "Configuration file")
        ->required();
    add_explain(app, explain);
    CLI::App* model = add(app, "simulate", "Run a scenario of failures on a virtual clock and check its asserts");
    model->add_option("file", simulate.file, "Scenario file; see docs/simulate.md")->required();
    model->add_flag("--json", simulate.json, "Print JSON");
    OrderOptions order;
    add_orders(app, order);
    CLI::App* tour = add(app, "demo", "Run three small regions and the proxy in one process, with commands to try");
    tour->add_option("--port", demo.port, "HTTPS port on loopback; 0: any free port")->capture_default_str();
    tour->add_option("--admin-port", demo.admin_port, "Admin port on loopback; 0: any free port")
        ->capture_default_str();
    add(app, "version", "Print the version");

    if (const auto unknown = unknown_name(app, argc, argv); !unknown.empty()) {
        std::fprintf(stderr, "nearhop: %s\n", unknown.c_str());
        return exit_usage;
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        // CLI11 prints help to stdout and complaints to stderr; its own numbers are no contract of ours.
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    try {
        return printed(chosen(app, config, file, explain, simulate, order, demo));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "nearhop: %s\n", error.what());
        return exit_failed;
    }
}

}  // namespace nearhop::run
