#include "tests/proxy/steering/world.h"
#include "tests/support/rows.h"

namespace nearhop::steering::test {
namespace {

World hosts(bool with_default) {
    std::string rest;
    for (int i = 0; i < 200; ++i) rest += ", host" + std::to_string(i) + ".example.org";
    return World{three +
                 "sites:\n"
                 "  exact: {hosts: [www.example.com, example.com" +
                 rest +
                 "]}\n"
                 "  wide: {hosts: ['*.example.com']}\n"
                 "  deep: {hosts: ['*.api.example.com']}\n" +
                 (with_default ? "  other: {default: true}\n" : "")};
}

struct HostCase {
    const char* host;
    const char* site;  ///< "-": none, without a default
};
void PrintTo(const HostCase& row, std::ostream* out) { tests::print_fields(out, row.host); }

class Hosts : public testing::TestWithParam<HostCase> {};

TEST_P(Hosts, ExactThenTheLongestWildcardThenTheDefault) {
    for (const bool with_default : {false, true}) {
        const World world = hosts(with_default);
        const auto site = world.table->site_of(GetParam().host);
        const std::string_view none = with_default ? "other" : "-";
        const std::string_view want = std::string_view{GetParam().site} == "-" ? none : GetParam().site;
        EXPECT_EQ(site ? world.table->sites[*site].name : "-", want);
    }
}

INSTANTIATE_TEST_SUITE_P(Names, Hosts,
                         testing::Values(HostCase{"www.example.com", "exact"}, HostCase{"WWW.Example.COM", "exact"},
                                         HostCase{"www.example.com.", "exact"},
                                         HostCase{"www.example.com:8443", "exact"},
                                         HostCase{"www.example.com.:443", "exact"}, HostCase{"example.com", "exact"},
                                         HostCase{"HoSt150.example.org", "exact"}, HostCase{"a.example.com", "wide"},
                                         HostCase{"a.b.example.com", "wide"}, HostCase{"api.example.com", "wide"},
                                         HostCase{"v1.api.example.com", "deep"},
                                         HostCase{"x.V1.Api.Example.com:1", "deep"}, HostCase{"badexample.com", "-"},
                                         HostCase{".example.com", "-"}, HostCase{"", "-"}, HostCase{".", "-"},
                                         HostCase{":443", "-"}, HostCase{"[::1]:443", "-"}, HostCase{"[", "-"},
                                         HostCase{"[]", "-"}, HostCase{"::1", "-"}, HostCase{"example.com..", "-"},
                                         HostCase{"host200.example.org", "-"}));

TEST(Hosts, LongerThanAnyNameIsUnknown) {
    const World world = hosts(false);
    EXPECT_FALSE(world.table->site_of(std::string(300, 'a') + ".example.com"));
    EXPECT_TRUE(world.table->site_of(std::string(200, 'a') + ".example.com"));
}

TEST(Methods, ClassesAreThoseOfRfc9110) {
    for (const char* method : {"GET", "HEAD", "OPTIONS", "TRACE"}) EXPECT_EQ(method_class(method), MethodClass::safe);
    for (const char* method : {"PUT", "DELETE"}) EXPECT_EQ(method_class(method), MethodClass::idempotent);
    for (const char* method : {"POST", "PATCH", "CONNECT", "get", "", "GETX"})
        EXPECT_EQ(method_class(method), MethodClass::unsafe) << method;
}

}  // namespace
}  // namespace nearhop::steering::test
