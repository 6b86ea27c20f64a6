#include "proxy/setup/build.h"
#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

namespace nearhop::control {
namespace {

/// What a reload makes of its listeners, as a session sees it that met them before.
class ListenerRulesTest : public ::testing::Test {
protected:
    std::shared_ptr<const shared::Routing> with(const std::string& listeners) const {
        folder.write("nearhop.yaml", "listeners:\n" + listeners +
                                         "tls: {certificate: edge.pem, private_key: edge.key, client_ca: ca.pem}\n"
                                         "origins: {us-east-1: \"http://127.0.0.1:1\"}\n");
        const auto loaded = setup::load(folder.file("nearhop.yaml"), keys);
        for (const auto& problem : loaded.problems) ADD_FAILURE() << conf::to_string(problem, "nearhop.yaml");
        return loaded.snapshot ? loaded.snapshot->routing : std::make_shared<const shared::Routing>();
    }
    void SetUp() override {
        folder.write("edge.pem", edge.certificate_pem());
        folder.write("edge.key", edge.key_pem());
        folder.write("ca.pem", authority.certificate_pem());
    }

    const std::string open = "  - {address: \"127.0.0.1:1\"}\n";
    const std::string asking = "  - {address: \"127.0.0.2:1\", client_certificates: required}\n";
    const std::string behind = "  - {address: \"127.0.0.3:1\", proxy_protocol: {from: [10.0.0.0/8]}}\n";
    const geo::Address proxy = *geo::Address::parse("10.1.2.3");
    const wire::ClientRule::Id nobody{};
    Folder folder;
    Identity edge{{}}, authority{{.authority = true}};
    wire::TicketKeys keys = wire::make_ticket_keys();
};

TEST_F(ListenerRulesTest, AreThoseOfTheSameAddressUnderAnyNumber) {
    const auto before = with(open + asking + behind);
    ASSERT_EQ(before->listeners.size(), 3u);
    const auto& met = before->listeners;
    EXPECT_NE(before->client_rule(*met[1], 0), nobody);
    for (const auto& listeners : {behind + asking + open, asking + behind, open + asking + behind}) {
        const auto after = with(listeners);
        EXPECT_EQ(after->client_rule(*met[0], 0), nobody) << listeners;
        EXPECT_EQ(after->client_rule(*met[1], 0), before->client_rule(*met[1], 0)) << listeners;
        EXPECT_EQ(after->client_rule(*met[2], 0), nobody) << listeners;
        EXPECT_FALSE(after->rules_of(*met[1]).proxy_protocol.contains(proxy)) << listeners;
        EXPECT_TRUE(after->rules_of(*met[2]).proxy_protocol.contains(proxy)) << listeners;
    }
}

TEST_F(ListenerRulesTest, ChangeWithTheListener) {
    const auto before = with(behind);
    const auto after = with("  - {address: \"127.0.0.3:1\", client_certificates: optional}\n");
    EXPECT_FALSE(after->rules_of(*before->listeners[0]).proxy_protocol.contains(proxy));
    EXPECT_NE(after->client_rule(*before->listeners[0], 0), nobody);
}

TEST_F(ListenerRulesTest, OfOneThatHasGoneHoldAsFarAsTheyAreStillGood) {
    const auto before = with(asking + behind);
    const auto& met = before->listeners;
    const auto elsewhere = with("  - {address: \"127.0.0.9:1\", client_certificates: required}\n");
    EXPECT_EQ(elsewhere->client_rule(*met[0], 0), before->client_rule(*met[0], 0));
    EXPECT_TRUE(elsewhere->rules_of(*met[1]).proxy_protocol.contains(proxy)) << "who is in its queue still says so";
    const auto nowhere = with(open);
    EXPECT_EQ(nowhere->client_rule(*met[0], 0), nobody);
    folder.write("ca.pem", Identity{{.authority = true}}.certificate_pem());
    const auto other_ca = with("  - {address: \"127.0.0.9:1\", client_certificates: required}\n");
    EXPECT_EQ(other_ca->client_rule(*met[0], 0), nobody);
}

}  // namespace
}  // namespace nearhop::control
