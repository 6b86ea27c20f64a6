#include "proxy/steering/path.h"

#include "tests/proxy/steering/world.h"

#include <gtest/gtest.h>

#include <string>

namespace nearhop::steering {
namespace {

using conf::EncodedSlashes;
using test::World;

struct Row {
    std::string_view sent;
    std::string_view normal;
};

std::string normal(std::string_view path, EncodedSlashes slashes = EncodedSlashes::keep) {
    std::string into = "untouched";
    switch (normalize_path(path, slashes, into)) {
        case PathForm::as_sent: EXPECT_EQ(into, "untouched"); return std::string{path};
        case PathForm::changed: EXPECT_NE(into, path); return into;
        case PathForm::encoded_slash: return "encoded_slash";
        case PathForm::bad_percent: return "bad_percent";
    }
    return "?";
}

TEST(NormalPath, HasNoDotsDoubleSlashesOrNeedlessEscapes) {  // RFC 3986 sections 5.2.4 and 6.2.2
    const Row rows[] = {{"/", "/"},
                        {"/a", "/a"},
                        {"/a/", "/a/"},
                        {"/a/b/c", "/a/b/c"},
                        {"//", "/"},
                        {"//a", "/a"},
                        {"/a//b", "/a/b"},
                        {"/a///", "/a/"},
                        {"/.", "/"},
                        {"/./", "/"},
                        {"/a/.", "/a/"},
                        {"/a/./b", "/a/b"},
                        {"/..", "/"},
                        {"/../..", "/"},
                        {"/../a", "/a"},
                        {"/a/..", "/"},
                        {"/a/../", "/"},
                        {"/a/../b", "/b"},
                        {"/a/b/../c", "/a/c"},
                        {"/a/b/../../../c", "/c"},
                        {"/a//../b", "/b"},
                        {"/a/...", "/a/..."},
                        {"/.well-known/x", "/.well-known/x"},
                        {"/a/..b", "/a/..b"},
                        {"/a/b..", "/a/b.."},
                        {"/%61%2D%2e%5f%7E", "/a-._~"},
                        {"/x/%2e%2E/admin", "/admin"},
                        {"/x/.%2e/admin", "/admin"},
                        {"/%c3%a4%20", "/%C3%A4%20"},
                        {"/%252e", "/%252e"},
                        {"/a;b=c", "/a;b=c"},
                        {"/a%3bb%3f", "/a%3Bb%3F"}};
    for (const auto& row : rows) {
        EXPECT_EQ(normal(row.sent), row.normal) << row.sent;
        EXPECT_EQ(normal(normal(row.sent)), row.normal) << "normal once and for all: " << row.sent;
    }
}

TEST(NormalPath, RefusesEscapesThatAreNone) {
    for (const char* path : {"/%", "/%4", "/%zz", "/%4z/", "/a%%32e", "/%00", "/a/%00.png", "/%u002e"})
        EXPECT_EQ(normal(path), "bad_percent") << path;
}

TEST(NormalPath, DoesWithEncodedSlashesWhatIsConfigured) {
    for (const char* path : {"/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a\\b", "/..%2fadmin"})
        EXPECT_EQ(normal(path, EncodedSlashes::refuse), "encoded_slash") << path;
    EXPECT_EQ(normal("/a%2fb%5cc\\d", EncodedSlashes::keep), "/a%2Fb%5Cc\\d");
    EXPECT_EQ(normal("/..%2fadmin", EncodedSlashes::keep), "/..%2Fadmin");
    EXPECT_EQ(normal("/a%2fb%5cc\\d", EncodedSlashes::decode), "/a/b/c/d");
    EXPECT_EQ(normal("/x/..%2f..%5Cadmin", EncodedSlashes::decode), "/admin");
    EXPECT_EQ(normal("/x/%2e%2e%2fadmin", EncodedSlashes::decode), "/admin");
}

TEST(ReadPath, IsWhatTheMostGenerousOriginReads) {
    const auto read = [](std::string_view path, bool decode, bool parameters) {
        std::string into;
        read_path(path, decode, parameters, into);
        return into;
    };
    EXPECT_EQ(read("/x/..;a/admin", true, true), "/admin");
    EXPECT_EQ(read("/x/..;a/admin", true, false), "/x/..;a/admin");
    EXPECT_EQ(read("/x/%2e%2e%2fadmin", true, false), "/admin");
    EXPECT_EQ(read("/x/%2e%2e%2fadmin", false, false), "/x/%2e%2e%2fadmin");
    EXPECT_EQ(read("/x\\..\\admin", true, false), "/admin");
    EXPECT_EQ(read("/%zz%", true, true), "/%zz%");
    EXPECT_EQ(read("/admin;a=b", true, true), "/admin");
    EXPECT_EQ(read("*", true, true), "*");
}

const char* const site =
    "origins: {us-east-1: 'https://a', eu-west-1: 'https://b'}\n"
    "sites:\n"
    "  main:\n"
    "    default: true\n"
    "    routes:\n"
    "      - {path: /admin, origins: eu-west-1}\n"
    "      - {path: /files/, methods: GET, origins: us-east-1}\n"
    "      - {path: /caf%C3%A9, origins: us-east-1}\n";

TEST(Readings, ThatFallUnderAnotherRouteAreFound) {  // CVE-2019-9901
    const World world{site};
    const SiteTable& table = world.table->sites[0];
    for (const char* path :
         {"/x/../admin", "/x/%2e%2e/admin", "/x/.%2E/admin/y", "//admin", "/./admin", "/%61dmin", "/x%2f..%2fadmin",
          "/x/..%5cadmin", "/x\\..\\admin", "/x/..;/admin", "/admin;v=1", "/;/admin", "/admin/../x", "/admin/%2e%2e/x",
          "/admin/..;/x", "/y/../admin/%2e%2e/z", "/files/../admin", "/admin/..", "/files/.."})
        EXPECT_FALSE(readings_agree(table, "GET", path)) << path;
    for (const char* path : {"/",
                             "/x",
                             "/x//y",
                             "/x/../y",
                             "/%2e",
                             "/a%20b",
                             "/100%",
                             "/admin",
                             "/admin/",
                             "/admin//x",
                             "/admin/./x",
                             "/admin/%41",
                             "/admin/x;y",
                             "/admin/a/../b",
                             "/administrator",
                             "/files/a%2fb",
                             "/.well-known/x",
                             "*",
                             "/caf%C3%A9",
                             "/caf%C3%A9/x",
                             "/a;b/c"})
        EXPECT_TRUE(readings_agree(table, "GET", path)) << path;
    EXPECT_TRUE(readings_agree(table, "POST", "/files/../x")) << "the route is for GET only";
}

TEST(Readings, DoNotMatterWhereNoPathDecides) {
    const World world{"origins: {us-east-1: 'https://a'}\n"};
    EXPECT_TRUE(readings_agree(world.table->sites[0], "GET", "/x/../admin"));
}

TEST(Prefixes, AreNormalWherePathsAre) {
    const World world{
        "origins: {us-east-1: 'https://a', eu-west-1: 'https://b'}\n"
        "sites: {main: {default: true, normalize_path: true, routes: [{path: '/%61//b', origins: eu-west-1}]}}\n"};
    const SiteTable& table = world.table->sites[0];
    EXPECT_EQ(table.routes[0].path_prefix, "/a/b");
    EXPECT_EQ(route_of(table, "GET", "/a/b/c", false), 0U);
}

}  // namespace
}  // namespace nearhop::steering
