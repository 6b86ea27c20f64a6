#include "proxy/admin/override_page.h"

#include "conf/syntax.h"
#include "proxy/admin/query.h"
#include "proxy/admin/status_page.h"

#include <boost/json.hpp>

#include <optional>
#include <utility>

namespace nearhop::admin {
namespace {

namespace json = boost::json;
using health::Override;

std::optional<Override> order_of(std::string_view action) noexcept {
    if (action == "drain") return Override::drain;
    if (action == "force-up") return Override::force_up;
    if (action == "force-down") return Override::force_down;
    if (action == "clear") return Override::none;
    return std::nullopt;
}

std::string parameter(const Ask& ask, std::string_view key) {
    auto value = query_value(ask.body, key);
    return value.empty() ? query_value(ask.query, key) : value;
}

Page bad(std::string what) { return {.status = 400, .body = std::move(what) + "\n"}; }

}  // namespace

loop::Task<Page> override_page(const Ask& ask, const Process& process) {
    const auto rest = ask.path.substr(origins_path.size());
    const auto slash = rest.find('/');
    const auto order = slash == rest.npos ? std::nullopt : order_of(rest.substr(slash + 1));
    if (!order) co_return Page{.status = 404, .body = "want /origins/NAME/ and drain, force-up, force-down or clear\n"};

    if (auto problem = parameter_problem({ask.query, ask.body}, {"author", "reason", "for", "force"}); !problem.empty())
        co_return bad(std::move(problem));
    control::OverrideOrder wanted{.origin = std::string{rest.substr(0, slash)},
                                  .order = *order,
                                  .author = parameter(ask, "author"),
                                  .why = parameter(ask, "reason")};
    if (!control::is_note(wanted.author, control::author_limit))
        co_return bad("want author: who orders this, 1 to 64 bytes of text without control characters");
    if (!control::is_note(wanted.why, control::why_limit))
        co_return bad("want reason: why, 1 to 256 bytes of text without control characters");
    if (const auto lasts = parameter(ask, "for"); !lasts.empty()) {
        const auto duration = conf::duration_from(lasts);
        if (!duration || *duration < std::chrono::seconds{1} || *duration > control::override_longest)
            co_return bad("want for: a duration with its unit (s, m, h) from 1s to 168h");
        wanted.lasts = std::chrono::duration_cast<std::chrono::seconds>(*duration);
    }

    if (const auto force = parameter(ask, "force"); !force.empty()) {
        if (force != "true" && force != "false") co_return bad("want force: true or false");
        wanted.force = force == "true";
    }

    const auto result = co_await process.override_origin(wanted);
    if (!result.known_origin) co_return Page{.status = 404, .body = "no origin has this name; /status lists them\n"};
    if (!result.overload.empty())
        co_return Page{.status = 409,
                       .body = "refused: " + result.overload + "; force=true (--force) orders it anyway\n"};
    json::object body{{"origin", wanted.origin}, {"override", nullptr}, {"holds", true}, {"saved", result.saved}};
    if (result.record) body["override"] = override_json(*result.record);
    if (!result.saved) body["not_saved"] = printable(result.not_saved) + "; it holds until a restart";
    // Without a state file nobody expects it to be kept; where there is one, an operator must see that it was not.
    const bool failed = !result.saved && result.not_saved != control::no_state_file;
    co_return Page{.status = failed ? 500u : 200u, .type = "application/json", .body = json::serialize(body) + "\n"};
}

}  // namespace nearhop::admin
