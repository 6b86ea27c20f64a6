#include "conf/parse.h"
#include "proxy/account/logging.h"
#include "proxy/run/commands.h"
#include "proxy/run/demo_origin.h"
#include "proxy/run/server.h"
#include "proxy/setup/build.h"
#include "proxy/wire/stream.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>

namespace nearhop::run {
namespace {

const std::vector<std::string> regions{"us-east-1", "eu-west-1", "ap-southeast-1"};

/// A folder that goes with the demo.
class Folder {
public:
    Folder() {
        auto pattern = (std::filesystem::temp_directory_path() / "nearhop-demo-XXXXXX").string();
        if (!mkdtemp(pattern.data())) throw std::runtime_error{"cannot make a folder for the demo's certificate"};
        path_ = pattern;
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string file(const char* name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

/// A self-signed certificate for localhost, good for a day.
void make_certificate(const std::string& certificate_file, const std::string& key_file) {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{EVP_EC_gen("P-256"), EVP_PKEY_free};
    const std::unique_ptr<X509, decltype(&X509_free)> certificate{X509_new(), X509_free};
    if (!key || !certificate) throw std::runtime_error{"cannot make the demo's key"};
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24 * 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("nearhop demo"), -1, -1,
                               0);
    X509_set_issuer_name(certificate.get(), name);
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate.get(), certificate.get(), nullptr, nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> names{
        X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1"),
        X509_EXTENSION_free};
    X509_add_ext(certificate.get(), names.get(), -1);
    const auto write = [](const std::string& file, auto put) {
        const std::unique_ptr<FILE, int (*)(FILE*)> out{std::fopen(file.c_str(), "w"), std::fclose};
        if (!out || put(out.get()) != 1) throw std::runtime_error{"cannot write " + file};
    };
    if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
        throw std::runtime_error{"cannot sign the demo's certificate"};
    write(certificate_file, [&](FILE* out) { return PEM_write_X509(out, certificate.get()); });
    write(key_file,
          [&](FILE* out) { return PEM_write_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
}

std::string configuration(const DemoOptions& options, const Folder& folder, const DemoOrigins& origins) {
    std::string yaml = "listeners: [{address: \"127.0.0.1:" + std::to_string(options.port) +
                       "\", protocol: https}]\ntls: {certificates: [{certificate: " + folder.file("certificate.pem") +
                       ", private_key: " + folder.file("key.pem") +
                       "}]}\n"
                       "clients: {trusted: [127.0.0.1/32]}  # so that curl may play CloudFront\n"
                       "admin: {listen: \"127.0.0.1:" +
                       std::to_string(options.admin_port) +
                       "\"}\n"
                       "log: {access: \"off\", level: warning}\n"
                       "health: {interval: 1s, interval_transitional: 500ms, interval_down: 1s}\n"
                       "failback: {hold: 3s, ramp: 3s}\n"
                       "shutdown: {grace: 100ms, drain: 1s}\n"
                       "origins:\n";
    for (std::size_t i = 0; i < regions.size(); ++i)
        yaml += "  " + regions[i] + ": http://127.0.0.1:" + std::to_string(origins.port(i)) + "\n";
    yaml += "sites: {demo: {default: true, origins: [us-east-1, eu-west-1, ap-southeast-1], decision_header: true}}\n";
    return yaml;
}

void print_tour(const Server& server, const DemoOrigins& origins) {
    const auto addresses = server.addresses();
    const auto& address = addresses.at("https");
    const auto at = "https://localhost" + address.substr(address.rfind(':')) + "/";
    const auto admin = "http://" + addresses.at("admin");
    const auto get = [&](const char* country) {
        std::printf("  curl -sk -D- %s -H 'CloudFront-Viewer-Country: %s'\n", at.c_str(), country);
    };
    std::printf("\nnearhop is in front of three regions, all in this process. In another terminal:\n");
    std::printf("\nA German, a Japanese and a Brazilian viewer, as CloudFront would announce them:\n");
    for (const char* country : {"DE", "JP", "BR"}) get(country);
    std::printf("\nWhy a request goes where it goes:\n");
    std::printf("  curl -s '%s/explain?country=DE'\n", admin.c_str());
    std::printf("\nBreak a region; the next one answers, and no request fails:\n");
    std::printf("  curl -s -X POST http://127.0.0.1:%u/demo/break\n", static_cast<unsigned>(origins.port(1)));
    get("DE");
    std::printf("  curl -s %s/status\n", admin.c_str());
    std::printf("\nAnd back:\n");
    std::printf("  curl -s -X POST http://127.0.0.1:%u/demo/repair\n", static_cast<unsigned>(origins.port(1)));
    std::printf("\nWhat Prometheus reads:\n");
    std::printf("  curl -s %s/metrics\n", admin.c_str());
    std::printf("\nCtrl-C ends it. IP Geolocation by DB-IP (https://db-ip.com).\n\n");
    std::fflush(stdout);
}

}  // namespace

int run_demo(const DemoOptions& options) {
    block_signals();
    const account::EventLog events;
    raise_descriptor_limit();
    wire::initialise_tls();
    try {
        const Folder folder;
        make_certificate(folder.file("certificate.pem"), folder.file("key.pem"));
        const DemoOrigins origins{regions};
        auto parsed = conf::parse(configuration(options, folder, origins), "demo");
        const auto keys = wire::make_ticket_keys();
        setup::BuildResult built;
        if (parsed.config) built = setup::build(std::move(*parsed.config), keys);
        for (const auto* problems : {&parsed.problems, &built.problems})
            for (const auto& problem : *problems)
                if (problem.severity == conf::Severity::error || !built.snapshot)
                    account::log_plain(conf::to_string(problem, "demo"));
        if (!built.snapshot) return exit_failed;
        account::set_log_level("warning");
        Server server{std::move(*built.snapshot), keys};
        server.on_ready([&origins](const Server& running) { print_tour(running, origins); });
        return server.run() == 0 ? exit_ok : exit_failed;
    } catch (const std::exception& error) {
        account::log_error("demo_failed", {{"what", error.what()}});
        return exit_failed;
    }
}

}  // namespace nearhop::run
