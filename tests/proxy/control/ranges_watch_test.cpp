#include "proxy/control/ranges_watch.h"

#include "conf/parse.h"
#include "proxy/setup/build.h"
#include "proxy/setup/trusted.h"
#include "tests/proxy/control/support.h"
#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace nearhop::control {
namespace {

/// A file of AWS's form with so many networks of the service CDN.
std::string list_of(int networks) {
    std::string rows = R"({"ip_prefix":"203.0.113.0/24","service":"OTHER"})";
    for (int i = 0; i < networks; ++i)
        rows += R"(,{"ip_prefix":"10.0.)" + std::to_string(i) + R"(.0/24","service":"CDN"})";
    return R"({"prefixes":[)" + rows + R"(],"ipv6_prefixes":[]})";
}

struct Watched {
    Folder folder;
    std::string file = folder.file("ip-ranges.json");
    RangesWatch watch;

    Watched() {
        write(list_of(10));
        std::string error;
        const auto ranges = setup::read_ranges(file, "CDN", error);
        EXPECT_EQ(error, "");
        watch.follow({ranges});
    }
    /// Each time older than anybody would take for a file that is being written, and another time than before.
    void write(const std::string& content) {
        folder.write("ip-ranges.json", content);
        std::filesystem::last_write_time(file, std::filesystem::file_time_type::clock::now() - std::chrono::hours{1} -
                                                   std::chrono::seconds{++writes});
    }
    std::size_t networks() const { return watch.in_use().at(0).networks.size(); }
    int writes = 0;
};

TEST(RangesWatch, AnUntouchedFileIsNotReadAgain) {
    Watched world;
    const auto found = world.watch.look();
    EXPECT_EQ(found.replaced + found.refused, 0u);
    EXPECT_EQ(world.networks(), 10u);
}

struct Change {
    const char* name;
    std::string content;
    std::size_t networks;  ///< in use afterwards
    const char* failure;   ///< "": taken into use
};
using tests::PrintTo;
class Changes : public ::testing::TestWithParam<Change> {};

TEST_P(Changes, AreTakenIntoUseOrLeaveTheOldNetworks) {
    const auto& row = GetParam();
    const std::string failure = row.failure;
    Watched world;
    world.write(row.content);
    const auto found = world.watch.look();
    EXPECT_EQ(found.replaced, failure.empty() ? 1u : 0u);
    EXPECT_EQ(found.refused, failure.empty() ? 0u : 1u);
    EXPECT_EQ(world.networks(), row.networks);
    EXPECT_NE(world.watch.lists().at(0).failure.find(failure), std::string::npos) << world.watch.lists().at(0).failure;
    EXPECT_EQ(world.watch.look().refused, 0u) << "reported once";
    world.write(list_of(12));
    EXPECT_EQ(world.watch.look().replaced, 1u);
    EXPECT_EQ(world.networks(), 12u);
    EXPECT_EQ(world.watch.lists().at(0).failure, "");
}

INSTANTIATE_TEST_SUITE_P(Files, Changes,
                         ::testing::Values(Change{"More", list_of(20), 20, ""}, Change{"Half", list_of(5), 5, ""},
                                           Change{"LessThanHalf", list_of(4), 10, "at least half of the 10"},
                                           Change{"NoneOfTheService", list_of(0), 10, "no network of CDN"},
                                           Change{"Empty", "", 10, "it is empty"},
                                           Change{"Damaged", list_of(10).substr(0, 200), 10, "not the JSON"}),
                         [](const auto& row) { return std::string{row.param.name}; });

TEST(RangesWatch, AFileThatGoesAwayLeavesItsNetworksInUse) {
    Watched world;
    std::filesystem::remove(world.file);
    EXPECT_EQ(world.watch.look().refused, 1u);
    EXPECT_EQ(world.networks(), 10u);
}

TEST(RangesWatch, AFileWrittenAsItWasReadIsReadOnceMore) {
    Watched world;
    std::filesystem::last_write_time(world.file, std::filesystem::file_time_type::clock::now());
    world.watch.follow(world.watch.in_use());
    EXPECT_EQ(world.watch.look().replaced, 1u);
    EXPECT_EQ(world.watch.look().replaced, 0u);
}

/// The meaning pass over a configuration with these entries of clients.trusted.
conf::Problems problems_of(const std::string& trusted, const std::string& more = "") {
    auto parsed = conf::parse(
        "listeners: [{address: '127.0.0.1:0', protocol: http, plain: serve}]\n"
        "origins: {us-east-1: 'http://127.0.0.1:1'}\n" +
            more + "clients:\n  trusted:\n    - " + trusted + "\n",
        "f");
    for (const auto& problem : parsed.problems) ADD_FAILURE() << conf::to_string(problem, "f");
    return parsed.config ? setup::build(std::move(*parsed.config), wire::make_ticket_keys()).problems
                         : conf::Problems{};
}

struct Warned {
    const char* name;
    std::string trusted;
    bool warned;
};
class Networks : public ::testing::TestWithParam<Warned> {};

TEST_P(Networks, ThatAnyCustomerOfAwsCanSendThroughAreWarnedOf) {
    Folder folder;
    std::string rows;
    for (const char* service : {"CLOUDFRONT_ORIGIN_FACING", "EC2", "ROUTE53_HEALTHCHECKS"})
        rows += std::string{rows.empty() ? "" : ","} + R"({"ip_prefix":"10.0.0.0/8","service":")" + service + R"("})";
    const std::string file = folder.write("r.json", R"({"prefixes":[)" + rows + R"(],"ipv6_prefixes":[]})");
    std::string trusted = GetParam().trusted;
    if (const auto at = trusted.find("FILE"); at != trusted.npos) trusted.replace(at, 4, file);
    const auto problems = problems_of(trusted);
    ASSERT_EQ(problems.size(), GetParam().warned ? 1u : 0u);
    if (!GetParam().warned) return;
    EXPECT_EQ(problems[0].severity, conf::Severity::warning);
    EXPECT_NE(problems[0].what.find("any customer of AWS"), std::string::npos);
    EXPECT_EQ(problems[0].mark.line, 5);
}

INSTANTIATE_TEST_SUITE_P(
    Entries, Networks,
    ::testing::Values(
        Warned{"CloudFront", "{ip_ranges: FILE, service: CLOUDFRONT_ORIGIN_FACING}", true},
        Warned{"Ec2", "{ip_ranges: FILE, service: EC2}", true},
        Warned{"HealthChecks", "{ip_ranges: FILE, service: ROUTE53_HEALTHCHECKS}", false},
        Warned{"WithSecret",
               "{ip_ranges: FILE, service: CLOUDFRONT_ORIGIN_FACING, secret_header: {name: X-S, value: long-enough}}",
               false},
        Warned{"CloudFrontsNetwork", "130.176.0.0/17", true}, Warned{"AroundIt", "{cidr: 130.0.0.0/8}", true},
        Warned{"NetworkWithSecret", "{cidr: 130.176.0.0/17, secret_header: {name: X-S, value: long-enough}}", false},
        Warned{"OwnNetwork", "10.0.0.0/8", false}),
    [](const auto& row) { return std::string{row.param.name}; });

TEST(Trusted, ACertificateThatNobodyIsAskedForIsAnError) {
    const auto problems = problems_of("{cidr: 10.0.0.0/8, certificate: {san: 'DNS:cdn.example'}}");
    ASSERT_EQ(problems.size(), 1u);
    EXPECT_EQ(problems[0].severity, conf::Severity::error);
    EXPECT_NE(problems[0].what.find("want client_certificates"), std::string::npos);
}

TEST(Trusted, AFileThatCannotBeReadIsAnErrorWhereItIsNamed) {
    const auto problems = problems_of("{ip_ranges: /nonexistent.json, service: CDN}");
    ASSERT_EQ(problems.size(), 1u);
    EXPECT_EQ(conf::to_string(problems[0], "f").substr(0, 6), "f:5:19") << conf::to_string(problems[0], "f");
    EXPECT_NE(problems[0].what.find("/nonexistent.json: No such file"), std::string::npos) << problems[0].what;
}

}  // namespace
}  // namespace nearhop::control
