#pragma once

#include "conf/config.h"
#include "conf/problem.h"
#include "proxy/wire/tls.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

struct stack_st_X509;

namespace nearhop::wire {

struct StackDelete {
    void operator()(stack_st_X509* stack) const noexcept;  ///< what is on it is not owned
};

/// Collects the problems of the files in a `tls` section.
class Reporter {
public:
    explicit Reporter(conf::Problems& problems) : problems_{problems} {}
    void error(const conf::At<std::string>& where, std::string what) {
        problems_.push_back({conf::Severity::error, where.mark, where.path, std::move(what)});
        failed_ = true;
    }
    void warning(const conf::At<std::string>& where, std::string what) {
        problems_.push_back({conf::Severity::warning, where.mark, where.path, std::move(what)});
    }
    bool failed() const noexcept { return failed_; }

private:
    conf::Problems& problems_;
    bool failed_ = false;
};

/// A certificate, its chain, and its key, whose signature the certificate verifies. Each file is read once, so the edge
/// uses what it checked even if a renewal writes the files meanwhile.
struct KeyPair {
    X509Certificate certificate;
    std::vector<X509Certificate> chain;
    PrivateKey key;

    /// Reports each problem at the configuration key of its file, and then returns nullopt.
    static std::optional<KeyPair> load(const conf::Certificate& files, Reporter& report);

    /// Makes `context` show it. False after reporting that OpenSSL rejects it.
    bool install(ssl_ctx_st* context, const conf::Certificate& files, Reporter& report) const;
    std::string fingerprint() const;  ///< differs for each certificate and chain
    /// As OpenSSL wants it. Refers to `chain`.
    std::unique_ptr<stack_st_X509, StackDelete> chain_stack() const;
};

}  // namespace nearhop::wire
