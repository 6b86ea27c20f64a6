#include "conf/syntax.h"
#include "proxy/run/admin_call.h"
#include "proxy/run/commands.h"

#include <boost/json.hpp>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>

/// `nearhop drain` and its like: one POST to the admin listener of a running edge, for people without curl at hand.
namespace nearhop::run {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds between_looks{250};

std::string form_value(std::string_view text) {
    std::string out;
    for (const char c : text) {
        char escaped[4];
        std::snprintf(escaped, sizeof escaped, "%%%02X", static_cast<unsigned char>(c));
        out += escaped;
    }
    return out;
}

/// What /status says of an origin that was ordered out.
struct Seen {
    std::uint64_t in_flight = 0;
    json::value order;  ///< null: it was ended
};

std::optional<Seen> look(const AdminCaller& admin, const std::string& origin) {
    const auto answer = admin.get("/status");
    if (answer.status == 503) return std::nullopt;  // other readers still hold large pages
    if (answer.status != 200) throw std::runtime_error{"/status: " + answer.body};
    const auto status = json::parse(answer.body);
    for (const auto& each : status.at("origins").as_array())
        if (each.at("name").as_string() == origin)
            return Seen{each.at("in_flight").to_number<std::uint64_t>(), each.at("override")};
    throw std::runtime_error{"the configuration no longer has the origin " + origin};
}

/// Returns once nothing was in flight at the origin in two looks in a row: between them a request that was decided
/// before the order has begun its attempt. Throws when the order ends first, or the time is up.
void wait_until_empty(const AdminCaller& admin, const std::string& origin, Clock::time_point until) {
    std::optional<json::value> order;
    std::optional<std::uint64_t> told;
    for (bool was_empty = false;; std::this_thread::sleep_for(between_looks)) {
        const auto seen = look(admin, origin);
        if (seen) {
            if (seen->order.is_null() || order.value_or(seen->order) != seen->order)
                throw std::runtime_error{"the order was ended or replaced while requests were in flight at " + origin};
            order = seen->order;
            if (seen->in_flight == 0 && was_empty) return;
            was_empty = seen->in_flight == 0;
            if (!was_empty && told != seen->in_flight) {
                std::fprintf(stderr, "in flight at %s: %llu\n", origin.c_str(),
                             static_cast<unsigned long long>(seen->in_flight));
                told = seen->in_flight;
            }
        }
        if (Clock::now() >= until)
            throw std::runtime_error{"requests are still in flight at " + origin + "; the order holds"};
    }
}

/// How long to wait: what is asked for, else as long as the order can hold. Looked at before anything is ordered.
Clock::time_point end_of_wait(const OrderOptions& options) {
    using std::chrono::hours;
    constexpr std::chrono::milliseconds most = hours{168};
    const auto time = conf::duration_from(options.at_most.empty() ? "168h" : options.at_most);
    if (!time || *time > most)
        throw std::runtime_error{"want --at-most as a duration with its unit (ms, s, m, h) up to 168h, found \"" +
                                 options.at_most + '"'};
    return Clock::now() + *time;
}

}  // namespace

int order_origin(const OrderOptions& options) {
    const AdminCaller admin{options.at};
    const bool plain = !options.origin.empty() && std::all_of(options.origin.begin(), options.origin.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
    });
    if (!plain) throw std::runtime_error{"want an origin's name, found \"" + options.origin + '"'};
    if (!options.at_most.empty() && !options.wait) throw std::runtime_error{"--at-most has no meaning without --wait"};
    const auto until = end_of_wait(options);

    std::string form = "author=" + form_value(options.author) + "&reason=" + form_value(options.reason);
    if (options.force) form += "&force=true";
    if (!options.lasts.empty()) form += "&for=" + form_value(options.lasts);
    const auto answer = admin.post("/origins/" + options.origin + '/' + options.action, form);
    const bool good = answer.status == 200;
    std::fputs(answer.body.c_str(), good ? stdout : stderr);
    if (!good) return exit_failed;
    if (options.wait) {
        std::fflush(stdout);
        wait_until_empty(admin, options.origin, until);
        std::printf("nothing is in flight at %s\n", options.origin.c_str());
    }
    return exit_ok;
}

}  // namespace nearhop::run
