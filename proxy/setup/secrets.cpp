#include "proxy/setup/secrets.h"

#include "conf/regular_file.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

namespace nearhop::setup {
namespace {

using conf::Secret;
using conf::Severity;

class Sources {
public:
    explicit Sources(conf::Problems& problems) : problems_{problems} {}

    void read(Secret& secret) {
        if (!secret.file.empty()) read_file(secret);
        if (!secret.variable.empty()) read_variable(secret);
    }
    void read(std::vector<conf::HeaderField>& fields) {
        for (auto& field : fields) read(field.value);
    }

private:
    void report(const Secret& secret, std::string what, Severity severity = Severity::error) {
        // What origins inherit is reported once.
        const bool known = std::any_of(problems_.begin(), problems_.end(),
                                       [&](const auto& each) { return each.path == secret.path && each.what == what; });
        if (!known) problems_.push_back({severity, secret.mark, secret.path, std::move(what)});
    }

    void take(Secret& secret, std::string_view text, const std::string& from) {
        if (const auto problem = conf::secret_problem(text, secret.least); !problem.empty())
            return report(secret, problem + " in " + from);
        secret.value = text;
    }

    void read_file(Secret& secret) {
        const std::string& file = secret.file;
        std::string bytes;
        if (const auto fault = conf::read_regular_file(file, Secret::most + 3, bytes))
            return report(secret, "want a readable file with a secret, found " + file + ": " + fault.words());
        take(secret, conf::without_line_end(bytes), file);
        OPENSSL_cleanse(bytes.data(), bytes.size());
        struct stat facts{};
        if (::stat(file.c_str(), &facts) == 0 && (facts.st_mode & S_IRWXO) != 0)
            report(secret, "every user may read " + file + ": want it readable for the edge's user only",
                   Severity::warning);
    }

    void read_variable(Secret& secret) {
        const char* const text = std::getenv(secret.variable.c_str());
        if (!text) return report(secret, "want the environment variable " + secret.variable + ", which is not set");
        take(secret, text, "the environment variable " + secret.variable);
    }

    conf::Problems& problems_;
};

}  // namespace

void read_secrets(conf::Config& config, conf::Problems& problems) {
    Sources sources{problems};
    sources.read(config.admin.token);
    for (auto& peer : config.clients.trusted) sources.read(peer.secret);
    for (auto& origin : config.origins) {
        sources.read(origin.headers.set);
        sources.read(origin.health.headers);
    }
}

}  // namespace nearhop::setup
