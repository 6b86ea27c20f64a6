#include "proxy/steering/locate.h"
#include "tests/support/rows.h"

#include <gtest/gtest.h>

namespace nearhop::steering {
namespace {

geo::Address address(std::string_view text) { return geo::Address::parse(text).value(); }
std::optional<geo::Cidr> cidr(std::string_view text) { return geo::Cidr::parse(text).value(); }

const std::string fingerprint(64, 'a');
const std::string other_fingerprint(64, 'b');

Trust::Entry certificate(std::optional<geo::Cidr> network, std::string print, std::string san,
                         std::string secret = "") {
    return {network, secret.empty() ? "" : "X-Secret", std::move(secret), std::move(print), std::move(san)};
}

/// Who comes from 192.0.2.1 with this certificate and secret, and whether the one entry trusts them.
struct Row {
    const char* name;
    Trust::Entry entry;
    PeerCertificate shown;
    std::string_view secret;
    bool trusted;
};
using tests::PrintTo;

class ByCertificate : public testing::TestWithParam<Row> {};

TEST_P(ByCertificate, EveryGivenPartMustMatch) {
    const Row& row = GetParam();
    const Trust trust{{row.entry}};
    const std::string_view secrets[] = {row.secret};
    EXPECT_EQ(trust.trusts(address("192.0.2.1"), secrets, row.shown), row.trusted);
}

const auto here = cidr("192.0.2.0/24");
const auto elsewhere = cidr("198.51.100.0/24");
const PeerCertificate cdn{fingerprint, "DNS:cdn.example,URI:spiffe://example/cdn"};
const PeerCertificate nobody{};

INSTANTIATE_TEST_SUITE_P(
    Entries, ByCertificate,
    testing::Values(
        Row{"Fingerprint", certificate(here, fingerprint, ""), cdn, "", true},
        Row{"AnotherFingerprint", certificate(here, other_fingerprint, ""), cdn, "", false},
        Row{"FingerprintOfNobody", certificate(here, fingerprint, ""), nobody, "", false},
        Row{"FingerprintFromElsewhere", certificate(elsewhere, fingerprint, ""), cdn, "", false},
        Row{"FirstName", certificate(here, "", "DNS:cdn.example"), cdn, "", true},
        Row{"SecondName", certificate(here, "", "URI:spiffe://example/cdn"), cdn, "", true},
        Row{"NameOfAnotherKind", certificate(here, "", "URI:cdn.example"), cdn, "", false},
        Row{"HalfAName", certificate(here, "", "DNS:cdn.exam"), cdn, "", false},
        Row{"LongerName", certificate(here, "", "DNS:cdn.example.org"), cdn, "", false},
        Row{"BothNamesAsOne", certificate(here, "", "DNS:cdn.example,URI:spiffe://example/cdn"), cdn, "", false},
        Row{"NameOfNobody", certificate(here, "", "DNS:cdn.example"), nobody, "", false},
        Row{"BothParts", certificate(here, fingerprint, "DNS:cdn.example"), cdn, "", true},
        Row{"NameRightFingerprintWrong", certificate(here, other_fingerprint, "DNS:cdn.example"), cdn, "", false},
        Row{"FingerprintRightNameWrong", certificate(here, fingerprint, "DNS:other.example"), cdn, "", false},
        Row{"AnyNetwork", certificate({}, fingerprint, ""), cdn, "", true},
        Row{"AnyNetworkNobody", certificate({}, fingerprint, ""), nobody, "", false},
        Row{"WithSecret", certificate(here, fingerprint, "", "s3cret"), cdn, "s3cret", true},
        Row{"WithWrongSecret", certificate(here, fingerprint, "", "s3cret"), cdn, "s3creT", false},
        Row{"SecretWithoutCertificate", certificate(here, fingerprint, "", "s3cret"), nobody, "s3cret", false},
        Row{"NothingAsked", certificate({}, "", ""), cdn, "", false}),
    [](const auto& row) { return row.param.name; });

TEST(Trusting, SeveralHundredNetworksAreOneRule) {
    std::vector<Trust::Entry> entries;
    for (std::uint32_t i = 0; i < 500; ++i)
        entries.push_back({geo::Cidr{geo::Address::v4(0x0a000000 + (i << 8)), 120}, "X-Secret", "s3cret"});
    entries.push_back({cidr("2001:db8::/32"), "", ""});
    const Trust trust{std::move(entries)};
    const std::string_view right[] = {"s3cret"}, wrong[] = {"other"};
    for (const char* peer : {"10.0.0.1", "10.1.243.255"}) {
        EXPECT_TRUE(trust.trusts(address(peer), right)) << peer;
        EXPECT_FALSE(trust.trusts(address(peer), wrong)) << peer;
        EXPECT_TRUE(trust.trusts_hop(address(peer))) << peer;
    }
    EXPECT_FALSE(trust.trusts(address("10.1.244.0"), right));
    EXPECT_TRUE(trust.trusts(address("2001:db8::1"), wrong));
    EXPECT_EQ(trust.secret_headers().size(), 1U);
}

TEST(Trusting, EntriesWithDifferentPartsStayApart) {
    const Trust trust{
        {certificate(cidr("10.0.0.0/8"), fingerprint, ""), certificate(cidr("192.0.2.0/24"), other_fingerprint, "")}};
    EXPECT_TRUE(trust.trusts(address("10.0.0.1"), {}, {fingerprint, ""}));
    EXPECT_FALSE(trust.trusts(address("10.0.0.1"), {}, {other_fingerprint, ""}));
    EXPECT_FALSE(trust.trusts(address("192.0.2.1"), {}, {fingerprint, ""}));
}

}  // namespace
}  // namespace nearhop::steering
