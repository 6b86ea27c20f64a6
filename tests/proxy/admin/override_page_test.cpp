#include "proxy/admin/override_page.h"

#include "tests/proxy/admin/world.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace nearhop::admin {
namespace {

namespace json = boost::json;
using health::Override;
using namespace std::chrono_literals;

struct Orders : testing::Test {
    test::World world;
    std::optional<control::OverrideOrder> given;
    control::Control::OverrideResult result{.record = control::OverrideRecord{}, .known_origin = true, .saved = true};

    Page ask(std::string_view target, std::string_view body, std::string_view authorization = "Bearer let-me-in",
             std::string_view method = "POST") {
        given.reset();
        const auto mark = target.find('?');
        const Process process{
            {}, {}, [&](control::OverrideOrder order) -> loop::Task<control::Control::OverrideResult> {
                given = std::move(order);
                co_return result;
            }};
        return world.page_of({method, target.substr(0, mark),
                              mark == target.npos ? std::string_view{} : target.substr(mark + 1), authorization, body},
                             process);
    }
};

TEST_F(Orders, AreReadFromAFormOrTheQuery) {
    EXPECT_EQ(ask("/origins/eu-west-1/drain", "author=ada&reason=database+upgrade%21&for=90m").status, 200u);
    ASSERT_TRUE(given);
    EXPECT_EQ(given->origin, "eu-west-1");
    EXPECT_EQ(given->order, Override::drain);
    EXPECT_EQ(given->author, "ada");
    EXPECT_EQ(given->why, "database upgrade!");
    EXPECT_EQ(given->lasts, 90min);
    EXPECT_EQ(ask("/origins/a.b_c-d/force-up?author=gr%C3%BCn&reason=x", "").status, 200u);
    EXPECT_EQ(given->origin, "a.b_c-d");
    EXPECT_EQ(given->order, Override::force_up);
    EXPECT_EQ(given->lasts, 4h) << "unless it says otherwise";
    EXPECT_EQ(ask("/origins/x/force-down", "author=a&reason=b&for=168h").status, 200u);
    EXPECT_EQ(given->order, Override::force_down);
    EXPECT_EQ(ask("/origins/x/clear", "author=a&reason=b").status, 200u);
    EXPECT_EQ(given->order, Override::none);
}

TEST_F(Orders, ThatWouldOverloadTheOthersSayWhyAndHowToInsist) {
    result.overload = "without x the other origins would get 7 more";
    const auto page = ask("/origins/x/drain", "author=a&reason=b");
    EXPECT_EQ(page.status, 409u);
    EXPECT_EQ(page.body,
              "refused: without x the other origins would get 7 more; force=true (--force) orders it anyway\n");
    EXPECT_FALSE(given->force);
    ask("/origins/x/drain", "author=a&reason=b&force=true");
    EXPECT_TRUE(given->force);
    ask("/origins/x/drain", "author=a&reason=b&force=false");
    EXPECT_FALSE(given->force);
    EXPECT_EQ(ask("/origins/x/drain", "author=a&reason=b&force=1").status, 400u);
    EXPECT_FALSE(given);
}

TEST_F(Orders, AreRefusedWithoutAuthorReasonAndASensibleTime) {
    const std::string good = "/origins/x/drain";
    const struct {
        std::string target, body;
        unsigned status;
    } rows[] = {
        {good, "", 400},
        {good, "author=ada", 400},
        {good, "reason=because", 400},
        {good, "author=&reason=because", 400},
        {good, "author=ada&reason=a%0Ab", 400},
        {good, "author=a%00b&reason=because", 400},
        {good, "author=%ff&reason=because", 400},
        {good, "author=" + std::string(65, 'a') + "&reason=because", 400},
        {good, "author=ada&reason=" + std::string(257, 'a'), 400},
        {good, "author=ada&reason=because&for=4", 400},
        {good, "author=ada&reason=because&for=0s", 400},
        {good, "author=ada&reason=because&for=169h", 400},
        {good, "author=ada&reason=because&for=99999999999999999999h", 400},
        {"/origins/x/restart", "author=ada&reason=because", 404},
        {"/origins/x", "author=ada&reason=because", 404},
        {"/origins/", "author=ada&reason=because", 404},
        {"/origins/x/drain/", "author=ada&reason=because", 404},
    };
    for (const auto& [target, body, status] : rows) {
        EXPECT_EQ(ask(target, body).status, status) << target << " " << body;
        EXPECT_FALSE(given) << target << " " << body;
    }
}

TEST_F(Orders, AreRefusedWithAParameterThatIsMistypedOrThereTwice) {
    const struct {
        std::string query, body, said;
    } rows[] = {
        {"", "author=a&reason=b&fro=1m", "unknown parameter \"fro\"; did you mean \"for\"?\n"},
        {"", "author=a&reason=b&expiry=1m", "unknown parameter \"expiry\"\n"},
        {"?Author=a", "reason=b", "unknown parameter \"Author\"; did you mean \"author\"?\n"},
        {"", "author=a&author=c&reason=b", "want author once, found it twice\n"},
        {"?for=1m", "author=a&reason=b&for=2m", "want for once, found it twice\n"},
        {"?author=a&reason=b&%66or=1m&for=2m", "", "want for once, found it twice\n"},
    };
    for (const auto& [query, body, said] : rows) {
        const auto page = ask("/origins/x/drain" + query, body);
        EXPECT_EQ(page.status, 400u) << query << " " << body;
        EXPECT_EQ(page.body, said);
        EXPECT_FALSE(given) << query << " " << body;
    }
    EXPECT_EQ(ask("/origins/x/drain?for=1m&", "&author=a&&reason=b").status, 200u) << "between two & may be nothing";
}

TEST_F(Orders, NeedTheTokenAndPost) {
    EXPECT_EQ(ask("/origins/x/drain", "author=a&reason=b", "").status, 401u);
    EXPECT_EQ(ask("/origins/x/drain", "author=a&reason=b", "Bearer let-me-iN").status, 401u);
    EXPECT_EQ(ask("/origins/x/drain?author=a&reason=b", "", "Bearer let-me-in", "GET").status, 405u);
    EXPECT_FALSE(given);
}

TEST_F(Orders, AreAnsweredWithWhatHoldsAndWhetherItOutlivesARestart) {
    result.record = control::OverrideRecord{.origin = "x",
                                            .order = Override::drain,
                                            .author = "ada",
                                            .why = "\"quoted\"",
                                            .set = std::chrono::system_clock::time_point{1s},
                                            .expires = std::chrono::system_clock::time_point{3601s},
                                            .ends = {}};
    auto body = json::parse(ask("/origins/x/drain", "author=a&reason=b").body);
    EXPECT_EQ(body, json::parse(R"({"origin": "x", "holds": true, "saved": true, "override": {"order": "drain",
        "author": "ada", "reason": "\"quoted\"", "set": "1970-01-01T00:00:01Z", "expires": "1970-01-01T01:00:01Z"}})"));

    result.saved = false;
    result.not_saved = "/state/overrides.json.new: No space left on device";
    auto page = ask("/origins/x/drain", "author=a&reason=b");
    EXPECT_EQ(page.status, 500u);
    body = json::parse(page.body);
    EXPECT_EQ(body.at("holds"), true);
    EXPECT_EQ(body.at("saved"), false);
    EXPECT_EQ(body.at("not_saved"), "/state/overrides.json.new: No space left on device; it holds until a restart");

    result.not_saved = control::no_state_file;
    page = ask("/origins/x/drain", "author=a&reason=b");
    EXPECT_EQ(page.status, 200u) << "nobody asked for it to be kept";
    EXPECT_EQ(json::parse(page.body).at("saved"), false);

    result = {};
    EXPECT_EQ(ask("/origins/y/drain", "author=a&reason=b").status, 404u);
}

}  // namespace
}  // namespace nearhop::admin
