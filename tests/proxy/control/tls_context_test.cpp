#include "proxy/wire/origin_tls.h"
#include "proxy/wire/server_tls.h"
#include "tests/proxy/control/support.h"
#include "tests/support/rows.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

namespace nearhop::control {
namespace {

using wire::ServerTls;

/// A client and a server over memory, both in this thread.
struct Pair {
    wire::Ssl client, server;
    wire::SslContext client_context{SSL_CTX_new(TLS_client_method())};

    /// `protocols` in ALPN's form; `session` to resume.
    Pair(ssl_ctx_st* context, const std::string& name, const std::string& protocols = "",
         SSL_SESSION* session = nullptr, int version = 0) {
        if (version != 0) {
            SSL_CTX_set_min_proto_version(client_context.get(), version);
            SSL_CTX_set_max_proto_version(client_context.get(), version);
        }
        client.reset(SSL_new(client_context.get()));
        server.reset(SSL_new(context));
        BIO *near = nullptr, *far = nullptr;
        BIO_new_bio_pair(&near, 64 * 1024, &far, 64 * 1024);
        SSL_set_bio(client.get(), near, near);
        SSL_set_bio(server.get(), far, far);
        SSL_set_connect_state(client.get());
        SSL_set_accept_state(server.get());
        if (!name.empty()) SSL_set_tlsext_host_name(client.get(), name.c_str());
        if (!protocols.empty())
            SSL_set_alpn_protos(client.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                                static_cast<unsigned>(protocols.size()));
        if (session) SSL_set_session(client.get(), session);
    }
    bool handshake() {
        for (int i = 0; i < 10; ++i) {
            SSL_do_handshake(client.get());
            SSL_do_handshake(server.get());
        }
        char byte = 0;
        SSL_read(client.get(), &byte, 1);  // tickets
        return SSL_is_init_finished(client.get()) && SSL_is_init_finished(server.get());
    }
    std::string certificate() const {
        X509* certificate = SSL_get0_peer_certificate(client.get());
        if (!certificate) return "none";
        const auto* names =
            static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
        const ASN1_STRING* text = sk_GENERAL_NAME_value(names, 0)->d.dNSName;
        std::string name{reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                         static_cast<std::size_t>(ASN1_STRING_length(text))};
        GENERAL_NAMES_free(const_cast<GENERAL_NAMES*>(names));
        return name;
    }
    wire::SslSession session() const { return wire::SslSession{SSL_get1_session(client.get())}; }
    bool resumed() const { return SSL_session_reused(client.get()) == 1; }
};

struct World {
    Folder folder;
    wire::TicketKeys keys = wire::make_ticket_keys();
    conf::Tls tls;
    conf::Problems problems;

    void add(const std::string& file, const Identity::Options& options) {
        const Identity identity{options};
        folder.write(file + ".pem", identity.certificate_pem());
        folder.write(file + ".key", identity.key_pem());
        refer(file + ".pem", file + ".key");
    }
    void refer(const std::string& certificate, const std::string& key) {
        const int line = static_cast<int>(tls.certificates.size()) + 1;
        tls.certificates.push_back({{folder.file(certificate), {line, 10}, "tls.certificate"},
                                    {folder.file(key), {line, 20}, "tls.private_key"},
                                    {}});
    }
    std::shared_ptr<const ServerTls> load() {
        problems.clear();
        return ServerTls::load(tls, keys, problems);
    }
};

struct TwoSites : World {
    TwoSites() {
        add("a", {.names = "DNS:A.test,DNS:www.a.test"});
        add("b", {.names = "DNS:b.test,DNS:*.b.test"});
    }
};

TEST(ServerTls, ChoosesTheCertificateByName) {
    TwoSites world;
    const auto tls = world.load();
    ASSERT_TRUE(tls);
    const std::pair<const char*, const char*> cases[] = {
        {"a.test", "A.test"},     {"www.a.test", "A.test"}, {"B.TEST", "b.test"}, {"x.b.test", "b.test"},
        {"x.y.b.test", "A.test"}, {"unknown", "A.test"},    {"", "A.test"},
    };
    for (const auto& [name, certificate] : cases) {
        Pair pair{tls->context(), name};
        EXPECT_TRUE(pair.handshake()) << name;
        EXPECT_EQ(pair.certificate(), certificate) << name;
    }
}

TEST(ServerTls, SpeaksHttp1OrNothing) {
    TwoSites world;
    const auto tls = world.load();
    const std::string http1 = "\x08http/1.1", h2 = "\x02h2";
    for (const std::string name : {"a.test", "b.test"}) {
        Pair both{tls->context(), name, h2 + http1};
        EXPECT_TRUE(both.handshake());
        const unsigned char* chosen = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(both.client.get(), &chosen, &size);
        EXPECT_EQ((std::string{reinterpret_cast<const char*>(chosen), size}), "http/1.1");
        Pair other{tls->context(), name, h2};
        EXPECT_FALSE(other.handshake());
    }
}

// CVE-2025-23419: a session made under one certificate does not resume under another one.
TEST(ServerTls, ResumesUnderTheSameCertificateOnlyAlsoAfterAReload) {
    TwoSites world;
    const auto before = world.load();
    const auto after = world.load();
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        Pair first{before->context(), "b.test", "", nullptr, version};
        ASSERT_TRUE(first.handshake());
        const auto session = first.session();
        Pair same{after->context(), "b.test", "", session.get(), version};
        EXPECT_TRUE(same.handshake());
        EXPECT_TRUE(same.resumed());
        Pair other{after->context(), "a.test", "", session.get(), version};
        EXPECT_TRUE(other.handshake());
        EXPECT_FALSE(other.resumed());
        EXPECT_EQ(other.certificate(), "A.test");
    }
    world.keys = wire::make_ticket_keys();
    const auto stranger = world.load();
    Pair first{before->context(), "b.test"};
    ASSERT_TRUE(first.handshake());
    Pair elsewhere{stranger->context(), "b.test", "", first.session().get()};
    EXPECT_TRUE(elsewhere.handshake());
    EXPECT_FALSE(elsewhere.resumed());
}

// Else its client could not get in with a renewed one for as long as it has tickets.
TEST(ServerTls, ATicketEndsWithTheCertificateThatItsClientShowed) {
    TwoSites world;
    const auto tls = world.load();
    const Identity authority{{.authority = true}}, lasting{{.issuer = &authority}}, renewed{{.issuer = &authority}};
    const Identity expired{{.begins_days = -9, .ends_days = -2, .issuer = &authority}};
    std::string error;
    const auto rule = wire::ClientRule::load(conf::ClientCertificates::required,
                                             world.folder.write("ca.pem", authority.certificate_pem()), error);
    ASSERT_TRUE(rule) << error;
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        const auto shake = [&](const Identity& shown, SSL_SESSION* session, bool whatever_the_time = false) {
            auto pair = std::make_unique<Pair>(tls->context(), "b.test", "", session, version);
            wire::ServerHandshake facts{rule.get(), false, {}, {}};
            SSL_set_app_data(pair->server.get(), &facts);
            SSL_use_certificate(pair->client.get(), shown.certificate);
            SSL_use_PrivateKey(pair->client.get(), shown.key);
            if (whatever_the_time)
                X509_VERIFY_PARAM_set_flags(SSL_get0_param(pair->server.get()), X509_V_FLAG_NO_CHECK_TIME);
            return pair->handshake() ? std::move(pair) : nullptr;
        };
        const auto good = shake(lasting, nullptr);
        ASSERT_TRUE(good);
        const auto resumed = shake(lasting, good->session().get());
        ASSERT_TRUE(resumed);
        EXPECT_TRUE(resumed->resumed());

        const auto once = shake(expired, nullptr, true);  // it was good then
        ASSERT_TRUE(once);
        EXPECT_FALSE(shake(expired, once->session().get()));
        const auto again = shake(renewed, once->session().get());
        ASSERT_TRUE(again);
        EXPECT_FALSE(again->resumed());
        EXPECT_EQ(X509_cmp(SSL_get0_peer_certificate(again->server.get()), renewed.certificate), 0);
    }
}

TEST(ServerTls, AHandshakeMayOutliveTheReload) {
    TwoSites world;
    auto tls = world.load();
    Pair pair{tls->context(), "b.test"};
    tls.reset();
    EXPECT_TRUE(pair.handshake());
    EXPECT_EQ(pair.certificate(), "b.test");
}

TEST(ServerTls, SendsOneTicketAndTakesNoEarlyDataAndNoOldVersion) {
    TwoSites world;
    world.tls.min_version = conf::TlsVersion::tls1_3;
    const auto tls = world.load();
    EXPECT_EQ(SSL_CTX_get_num_tickets(tls->context()), 1u);
    EXPECT_EQ(SSL_CTX_get_max_early_data(tls->context()), 0u);
    Pair old{tls->context(), "a.test", "", nullptr, TLS1_2_VERSION};
    EXPECT_FALSE(old.handshake());
    world.tls.min_version = conf::TlsVersion::tls1_2;
    const auto lower = world.load();
    Pair now{lower->context(), "a.test", "", nullptr, TLS1_2_VERSION};
    EXPECT_TRUE(now.handshake());
    // Nobody makes the edge start over (CVE-2021-3449).
    SSL_renegotiate(now.client.get());
    SSL_do_handshake(now.client.get());
    char byte = 0;
    EXPECT_LE(SSL_read(now.server.get(), &byte, 1), 0);
    SSL_do_handshake(now.client.get());
    EXPECT_FALSE(SSL_is_init_finished(now.client.get()));
}

/// A file that was overwritten in place up to the middle: the new private part beside the old public one.
std::string first_half_of(const Identity& fresh, const Identity& old) {
    const auto der = [](const Identity& identity) {
        unsigned char* bytes = nullptr;
        const int size = i2d_PrivateKey(identity.key, &bytes);
        std::string text{reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size)};
        OPENSSL_free(bytes);
        return text;
    };
    constexpr std::size_t point = 65;  // the public part, at the end
    const std::string front = der(fresh), back = der(old);
    const std::string both = front.substr(0, front.size() - point) + back.substr(back.size() - point);
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio(bio, "EC PRIVATE KEY", "", reinterpret_cast<const unsigned char*>(both.data()),
                  static_cast<long>(both.size()));
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio, &text);
    std::string pem{text, static_cast<std::size_t>(size)};
    BIO_free(bio);
    return pem;
}

struct Bad {
    const char* name;
    void (*spoil)(World&);
    int column;
    const char* what;
};
using tests::PrintTo;

class BadTls : public ::testing::TestWithParam<Bad> {};

TEST_P(BadTls, IsAProblemAtItsPlace) {
    World world;
    GetParam().spoil(world);
    EXPECT_FALSE(world.load());
    ASSERT_EQ(world.problems.size(), 1u);
    const auto& problem = world.problems[0];
    EXPECT_EQ(problem.severity, conf::Severity::error);
    EXPECT_EQ(problem.mark.column, GetParam().column);
    EXPECT_NE(problem.what.find(GetParam().what), std::string::npos) << problem.what;
}

const Bad bad[] = {
    {"MissingCertificate",
     [](World& world) {
         world.add("a", {});
         world.tls.certificates[0].certificate.value += "x";
     },
     10, "No such file"},
    {"MissingKey",
     [](World& world) {
         world.add("a", {});
         world.tls.certificates[0].private_key.value += "x";
     },
     20, "No such file"},
    {"Directory",
     [](World& world) {
         world.add("a", {});
         world.tls.certificates[0].certificate.value = "/";
     },
     10, "it is a folder"},
    {"Empty",
     [](World& world) {
         world.add("a", {});
         world.folder.write("a.pem", "");
     },
     10, "empty"},
    {"NotPem",
     [](World& world) {
         world.add("a", {});
         world.folder.write("a.pem", "hello");
     },
     10, "PEM"},
    {"KeyNotPem",
     [](World& world) {
         world.add("a", {});
         world.folder.write("a.key", "hello");
     },
     20, "PEM"},
    {"KeyOfAnother",
     [](World& world) {
         world.add("a", {});
         world.folder.write("a.key", Identity{{}}.key_pem());
     },
     20, "found another one"},
    {"KeyOfAnotherKind",
     [](World& world) {
         world.add("a", {});
         world.folder.write("a.key", Identity{{.kind = "RSA"}}.key_pem());
     },
     20, "found another one"},
    {"EachInThePlaceOfTheOther",
     [](World& world) {
         world.add("a", {});
         std::swap(world.tls.certificates[0].certificate.value, world.tls.certificates[0].private_key.value);
         world.tls.certificates[0].private_key = world.tls.certificates[0].certificate;
     },
     10, "a PRIVATE KEY"},
    {"IssuerFirst",
     [](World& world) {
         const Identity authority{{.authority = true}}, leaf{{.issuer = &authority}};
         world.folder.write("a.pem", authority.certificate_pem() + leaf.certificate_pem());
         world.folder.write("a.key", leaf.key_pem());
         world.refer("a.pem", "a.key");
     },
     10, "as number 2"},
    {"ChainThatIsStillBeingWritten",
     [](World& world) {
         world.add("a", {});
         world.folder.write("a.pem", Identity{{}}.certificate_pem() + "-----BEGIN CERTIFICATE--");
     },
     10, "incomplete after 1 good part"},
    {"SignatureOfAnother",
     [](World& world) {
         // The issuer of the same name, and another key.
         const Identity one{{.authority = true, .common_name = "authority"}};
         const Identity other{{.authority = true, .common_name = "authority"}};
         const Identity leaf{{.issuer = &one}};
         world.folder.write("a.pem", leaf.certificate_pem() + other.certificate_pem());
         world.folder.write("a.key", leaf.key_pem());
         world.refer("a.pem", "a.key");
     },
     10, "does not bear the signature"},
    {"KeyThatIsHalfOld",
     [](World& world) {
         const Identity old{{}}, fresh{{}};
         world.folder.write("a.pem", old.certificate_pem());
         world.folder.write("a.key", first_half_of(fresh, old));
         world.refer("a.pem", "a.key");
     },
     20, "damaged one"},
    {"TicketKeysThatEverybodyKnows",
     [](World& world) {
         world.add("a", {});
         std::string pem = Identity{{}}.certificate_pem();
         pem.resize(pem.size() / 80 * 80);
         world.tls.ticket_keys = {world.folder.write("tickets", pem), {9, 40}, "tls.ticket_keys"};
     },
     40, "found text"},
    {"Ciphers",
     [](World& world) {
         world.add("a", {});
         world.tls.ciphers = {"NO-SUCH-CIPHER", {9, 30}, "tls.ciphers"};
     },
     30, "cipher"},
};
INSTANTIATE_TEST_SUITE_P(ServerTls, BadTls, ::testing::ValuesIn(bad),
                         [](const auto& row) { return std::string{row.param.name}; });

TEST(ServerTls, ServesKeysOfEveryKindAndPairsNoneWithAnother) {
    const char* const kinds[] = {"P-256", "P-384", "RSA", "ED25519"};
    std::vector<std::unique_ptr<Identity>> identities;
    for (const char* kind : kinds) {
        Identity::Options options;
        options.kind = kind;
        options.names = "DNS:a.test";
        identities.push_back(std::make_unique<Identity>(options));
    }
    for (const auto& certificate : identities)
        for (const auto& key : identities) {
            World world;
            world.folder.write("a.pem", certificate->certificate_pem());
            world.folder.write("a.key", key->key_pem());
            world.refer("a.pem", "a.key");
            // Beside it one whose context must not be touched by the other's trouble.
            world.add("b", {.names = "DNS:b.test"});
            const auto tls = world.load();
            ASSERT_EQ(tls != nullptr, certificate == key);
            if (tls) {
                Pair pair{tls->context(), "a.test"};
                EXPECT_TRUE(pair.handshake());
                continue;
            }
            ASSERT_EQ(world.problems.size(), 1u);
            EXPECT_EQ(world.problems[0].mark.column, 20);
            EXPECT_NE(world.problems[0].what.find(world.folder.file("a.key")), std::string::npos);
        }
}

TEST(ServerTls, WarnsOfWhatClientsWillNotLike) {
    const Identity authority{{.authority = true}}, stranger{{.authority = true}}, leaf{{.issuer = &authority}};
    const Identity nameless{{.names = "", .common_name = "a.test"}};
    const std::tuple<std::string, std::string, const char*> cases[] = {
        {leaf.certificate_pem() + authority.certificate_pem(), leaf.key_pem(), nullptr},
        {leaf.certificate_pem() + stranger.certificate_pem(), leaf.key_pem(), "is not the issuer of the one before it"},
        {nameless.certificate_pem(), nameless.key_pem(), "no alternative name"},
    };
    for (const auto& [certificate, key, what] : cases) {
        World world;
        world.folder.write("a.pem", certificate);
        world.folder.write("a.key", key);
        world.refer("a.pem", "a.key");
        EXPECT_TRUE(world.load());
        ASSERT_EQ(world.problems.size(), what ? 1u : 0u);
        if (!what) continue;
        EXPECT_EQ(world.problems[0].severity, conf::Severity::warning);
        EXPECT_NE(world.problems[0].what.find(what), std::string::npos) << world.problems[0].what;
    }
}

TEST(ServerTls, ReportsEveryBadFileAtOnce) {
    World world;
    world.refer("no.pem", "no.key");
    world.add("a", {});
    world.refer("neither.pem", "a.key");
    world.tls.ticket_keys = {world.folder.file("no.tickets"), {9, 40}, "tls.ticket_keys"};
    EXPECT_FALSE(world.load());
    EXPECT_EQ(world.problems.size(), 4u);
}

TEST(ServerTls, AnEncryptedKeyFailsInsteadOfAskingTheTerminal) {
    World world;
    world.add("a", {});
    const Identity identity{{}};
    BIO* bio = BIO_new_file(world.folder.file("a.key").c_str(), "w");
    PEM_write_bio_PrivateKey(bio, identity.key, EVP_aes_128_cbc(), reinterpret_cast<const unsigned char*>("secret"), 6,
                             nullptr, nullptr);
    BIO_free(bio);
    EXPECT_FALSE(world.load());
    ASSERT_EQ(world.problems.size(), 1u);
    EXPECT_NE(world.problems[0].what.find("unencrypted"), std::string::npos) << world.problems[0].what;
}

TEST(ServerTls, AnExpiredCertificateIsAWarningAndItsDateIsShown) {
    World world;
    world.add("old", {.begins_days = -9, .ends_days = -2});
    const auto tls = world.load();
    ASSERT_TRUE(tls);
    ASSERT_EQ(world.problems.size(), 1u);
    EXPECT_EQ(world.problems[0].severity, conf::Severity::warning);
    EXPECT_NE(world.problems[0].what.find("expired on 20"), std::string::npos);
    const auto left = tls->expiries().at(0).not_after - std::chrono::system_clock::now();
    EXPECT_NEAR(std::chrono::duration<double>(left).count(), -2 * 86'400, 60);
}

wire::OriginTls load_origin(const std::string& ca, conf::Problems& problems, const conf::OriginTls& tls = {}) {
    problems.clear();
    return wire::load_origin_tls({ca, {3, 7}, "ca"}, tls, problems);
}

TEST(OriginTls, SaysWhatIsWrongWithTheAuthorities) {
    Folder folder;
    const Identity authority{{.authority = true}}, leaf{{.issuer = &authority}};
    const std::string good = authority.certificate_pem();
    const std::pair<std::string, const char*> cases[] = {
        {folder.file("missing.pem"), "No such file"},
        {folder.write("empty.pem", ""), "empty"},
        {folder.write("text.pem", "hello"), "PEM"},
        {folder.write("key.pem", authority.key_pem()), "a PRIVATE KEY"},
        {folder.write("leaf.pem", leaf.certificate_pem()), "none in it is self-signed"},
        // A list that is still being written would pass for one with fewer authorities.
        {folder.write("begun.pem", good + "-----BEGIN CERTIFIC"), "incomplete after 1 good part"},
        {folder.write("hardly-begun.pem", good + "--"), "incomplete after 1 good part"},
        {folder.write("cut.pem", good + good.substr(0, 200)), "incomplete after 1 good part"},
        {folder.write("spoilt.pem", good + 'x' + good), "incomplete after 1 good part"},
        {folder.write("not-der.pem", good + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
         "certificate 2 in it is damaged"},
    };
    conf::Problems problems;
    for (const auto& [file, what] : cases) {
        EXPECT_FALSE(load_origin(file, problems).context) << file;
        ASSERT_EQ(problems.size(), 1u) << file;
        EXPECT_NE(problems[0].what.find(what), std::string::npos) << problems[0].what;
        EXPECT_NE(problems[0].what.find(file), std::string::npos) << problems[0].what;
        EXPECT_EQ(problems[0].mark.column, 7);
    }
    const auto system = load_origin("", problems);
    ASSERT_TRUE(system.context) << problems.at(0).what;
    EXPECT_EQ(SSL_CTX_get_verify_mode(system.context.get()), SSL_VERIFY_PEER);
    EXPECT_TRUE(load_origin(folder.write("notes.pem", "# ours\n-----\n" + good + "\n# end\n--"), problems).context ==
                nullptr);
    EXPECT_TRUE(load_origin(folder.write("notes.pem", "# ours\n-----\n" + good + "\n# end\n--\n"), problems).context);
}

TEST(OriginTls, HasAnotherDigestWheneverAnotherPeerCouldBeTrustedOrSomethingElseIsShown) {
    Folder folder;
    const Identity one{{.authority = true}}, other{{.authority = true}}, leaf{{}};
    conf::Problems problems;
    const auto digest = [&](const std::string& pem, const conf::OriginTls& tls = {}) {
        const auto made = load_origin(folder.write("ca.pem", pem), problems, tls);
        EXPECT_TRUE(made.context);
        return made.digest;
    };
    const auto before = digest(one.certificate_pem());
    EXPECT_EQ(digest(one.certificate_pem()), before);
    EXPECT_NE(digest(other.certificate_pem()), before);
    conf::OriginTls tls;
    tls.certificate = {folder.write("leaf.pem", leaf.certificate_pem()), {1, 1}, "tls.certificate"};
    tls.private_key = {folder.write("leaf.key", leaf.key_pem()), {1, 9}, "tls.private_key"};
    EXPECT_NE(digest(one.certificate_pem(), tls), before);
    tls.min_version = conf::TlsVersion::tls1_3;
    EXPECT_NE(digest(one.certificate_pem(), tls), before);
}

TEST(TicketKeys, RotateByAgeAndOpenForAsLongAsATicketLives) {
    using namespace std::chrono_literals;
    const wire::TicketKeys keys;
    const auto start = std::chrono::steady_clock::now();
    keys.rotate(start + 11h, 12h);
    EXPECT_EQ(keys.count(), 1U) << "not due";
    keys.rotate(start + 13h, 12h);
    EXPECT_EQ(keys.count(), 2U) << "the one before still opens";
    keys.rotate(start + 14h, 12h);
    EXPECT_EQ(keys.count(), 2U);
    keys.rotate(start + 26h, 12h);
    EXPECT_EQ(keys.count(), 2U) << "the first one's last ticket has run out";
    keys.rotate(start + 1000h, 0s);
    EXPECT_EQ(keys.count(), 2U) << "never";
    // Quicker than tickets run out: all that may still be shown are there, and no more.
    for (int minutes = 30; minutes <= 600; minutes += 30) keys.rotate(start + 1000h + minutes * 1min, 30min);
    EXPECT_LE(keys.count(), 6U);
    EXPECT_GE(keys.count(), 5U);
}

TEST(TicketKeys, ComeAsWholeKeysFromAFile) {
    std::string error;
    for (const std::string& bytes :
         {std::string(), std::string(79, 'x'), std::string(81, 'x'), std::string(17 * 80, 'x')})
        EXPECT_FALSE(wire::TicketKeys::from_bytes(bytes, error)) << bytes.size();
    EXPECT_FALSE(wire::TicketKeys::from_bytes(std::string(160, '\1'), error));
    EXPECT_NE(error.find("two alike"), std::string::npos);
    EXPECT_FALSE(wire::TicketKeys::from_bytes(std::string(80, 'x'), error)) << "everybody may know a certificate";
    EXPECT_NE(error.find("text"), std::string::npos);
    const auto two = wire::TicketKeys::from_bytes(std::string(80, '\1') + std::string(80, '\2'), error);
    ASSERT_TRUE(two);
    EXPECT_EQ(two->count(), 2U);
}

TEST(ClientRule, IsWhatItsModeAndItsBytesAre) {
    using conf::ClientCertificates;
    using wire::ClientRule;
    Folder folder;
    const Identity one{{.authority = true}}, other{{.authority = true}};
    const std::string file = folder.write("one.pem", one.certificate_pem());
    const std::string copy = folder.write("copy.pem", one.certificate_pem());
    const std::string both = folder.write("both.pem", one.certificate_pem() + other.certificate_pem());
    std::string error;
    const auto id = [&](ClientCertificates mode, const std::string& name) {
        const auto rule = ClientRule::load(mode, name, error);
        EXPECT_TRUE(rule) << error;
        return rule ? rule->id() : ClientRule::Id{};
    };
    EXPECT_EQ(id(ClientCertificates::none, file), ClientRule::Id{});
    EXPECT_NE(id(ClientCertificates::required, file), ClientRule::Id{});
    EXPECT_EQ(id(ClientCertificates::required, file), id(ClientCertificates::required, copy));
    EXPECT_NE(id(ClientCertificates::required, file), id(ClientCertificates::optional, file));
    EXPECT_NE(id(ClientCertificates::required, file), id(ClientCertificates::required, both));
    const std::string wrong[] = {
        folder.file("missing"), folder.write("text", "no certificate\n"), folder.write("empty", ""),
        folder.write("damaged", one.certificate_pem() + "-----BEGIN CERTIFICATE-----\nAAAA\n")};
    for (const auto& name : wrong) EXPECT_FALSE(ClientRule::load(ClientCertificates::required, name, error)) << name;
}

}  // namespace
}  // namespace nearhop::control
