#include "proxy/control/probe_head.h"

#include "proxy/origin/server_name.h"

#include <gtest/gtest.h>

namespace nearhop::origin {
namespace {

shared::OriginInfo an_origin() {
    shared::OriginInfo info;
    info.tls = true;
    info.host = "alb.test";
    info.host_field = "alb.test:8443";
    info.server_name = info.server_name_field = "api.test";
    return info;
}

TEST(NameIn, IsWithoutPortBracketsAndCase) {
    const std::pair<const char*, const char*> rows[] = {{"a.test", "a.test"},
                                                        {"A.Test:443", "a.test"},
                                                        {"a.test.", "a.test"},
                                                        {"a.test.:8443", "a.test"},
                                                        {"[2001:db8::1]:8", "2001:db8::1"},
                                                        {"[2001:DB8::1]", "2001:db8::1"},
                                                        {"192.0.2.1:8", "192.0.2.1"},
                                                        {"", ""},
                                                        {":443", ""},
                                                        {"[", ""}};
    for (const auto& [field, name] : rows) EXPECT_EQ(name_in(field), name) << field;
}

TEST(FollowedName, IsAPartOfAConnectionOnlyWhereTheNameFollowsTheHost) {
    shared::OriginInfo info = an_origin();
    EXPECT_EQ(followed_name(info, "shop.test"), "") << "one name for all requests";
    info.follows_host = true;
    EXPECT_EQ(followed_name(info, "Shop.test:443"), "shop.test");
    EXPECT_EQ(followed_name(info, ""), "api.test");
    info.tls = false;
    EXPECT_EQ(followed_name(info, "shop.test"), "") << "nothing is verified";
}

TEST(ProbeHead, AsksWithTheHostOfUsersUnlessTheOperatorSaysOtherwise) {
    shared::OriginInfo info = an_origin();
    conf::Probe settings;
    const auto host_line = [&] {
        const auto head = control::probe_head(info, settings);
        return head.substr(head.find("Host: "), head.find("\r\n", head.find("Host: ")) - head.find("Host: "));
    };
    EXPECT_EQ(host_line(), "Host: alb.test:8443");
    EXPECT_EQ(control::probe_server_name(info, settings), "api.test");
    info.probe_host = "users.test";
    EXPECT_EQ(host_line(), "Host: users.test");
    settings.host = "probe.test:81";
    EXPECT_EQ(host_line(), "Host: probe.test:81");
    EXPECT_EQ(control::probe_server_name(info, settings), "api.test");
    info.follows_host = true;
    EXPECT_EQ(control::probe_server_name(info, settings), "probe.test");
}

TEST(ProbeHead, CarriesTheFieldsOfRequestsAndItsOwnWhichWin) {
    shared::OriginInfo info = an_origin();
    conf::Probe settings;
    const auto field = [](const char* name, const char* value) {
        conf::HeaderField made{name, {}};
        made.value.value = value;
        return made;
    };
    EXPECT_EQ(control::probe_head(info, settings),
              "GET /health HTTP/1.1\r\nHost: alb.test:8443\r\nUser-Agent: nearhop-probe\r\nAccept: */*\r\n"
              "Accept-Encoding: identity\r\nConnection: keep-alive\r\n\r\n");
    info.headers.set = {field("X-Origin-Secret", "s"), field("X-Both", "requests")};
    settings.headers = {field("x-both", "probes"), field("user-agent", "ELB"), field("Accept-Encoding", "gzip")};
    EXPECT_EQ(
        control::probe_head(info, settings),
        "GET /health HTTP/1.1\r\nHost: alb.test:8443\r\nx-both: probes\r\nuser-agent: ELB\r\nAccept-Encoding: gzip\r\n"
        "X-Origin-Secret: s\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n");
}

}  // namespace
}  // namespace nearhop::origin
