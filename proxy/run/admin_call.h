#pragma once

#include "proxy/control/http_client.h"
#include "proxy/run/commands.h"

#include <string>
#include <string_view>
#include <vector>

namespace nearhop::run {

/// What the admin listener answered.
struct AdminAnswer {
    unsigned status = 0;
    std::string body;
};

/// The admin listener of a running edge, as a command asks it: a connection for each call, at most ten seconds without
/// a byte. Every failure is a std::runtime_error with a sentence.
class AdminCaller {
public:
    explicit AdminCaller(const AdminOptions& options);

    AdminAnswer get(std::string_view target) const { return call("GET", target, {}); }
    /// `form`: application/x-www-form-urlencoded.
    AdminAnswer post(std::string_view target, std::string_view form) const { return call("POST", target, form); }

private:
    AdminAnswer call(std::string_view method, std::string_view target, std::string_view form) const;

    std::string address_;                       ///< as people write it, for Host and for complaints
    std::vector<control::HttpServer> servers_;  ///< each address that it has
    std::string token_;
};

}  // namespace nearhop::run
