#pragma once

#include "conf/config.h"
#include "conf/problem.h"
#include "proxy/wire/tls.h"

#include <string>
#include <utility>

struct ssl_method_st;

/// What contexts for clients and for origins have in common: how one is made, and how files get into it. The two kinds
/// are in server_tls.h and origin_tls.h.
namespace nearhop::wire {

inline constexpr unsigned char http1_protocol[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};  ///< for ALPN

/// Throws std::bad_alloc.
SslContext make_context(const ssl_method_st* method);

int number_of(conf::TlsVersion version) noexcept;  ///< OpenSSL's

/// The innermost OpenSSL error in words; the queue is empty afterwards.
std::string last_error();

/// Why a file cannot be read; empty when it can.
std::string why_unreadable(const std::string& file);

/// Collects what is wrong with the files of a `tls` section.
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

// What cannot be used is reported.
bool load_certificate(ssl_ctx_st* context, const conf::At<std::string>& file, Reporter& report);
void load_key(ssl_ctx_st* context, const conf::Certificate& pair, bool with_certificate, Reporter& report);

}  // namespace nearhop::wire
