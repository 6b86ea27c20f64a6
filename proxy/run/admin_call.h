#pragma once

#include "conf/edge.h"

#include <string>
#include <string_view>

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
    /// `address`: as --admin has it. `token_file`: holds admin.token; empty: none is sent.
    AdminCaller(const std::string& address, const std::string& token_file);

    AdminAnswer get(std::string_view target) const { return call("GET", target, {}); }
    /// `form`: application/x-www-form-urlencoded.
    AdminAnswer post(std::string_view target, std::string_view form) const { return call("POST", target, form); }

private:
    AdminAnswer call(std::string_view method, std::string_view target, std::string_view form) const;

    conf::ListenAddress address_;
    std::string token_;
};

}  // namespace nearhop::run
