#include "proxy/admin/server.h"

#include "tests/proxy/admin/world.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <netinet/in.h>
#include <new>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace nearhop::admin {
namespace {

using test::World;

/// A client that blocks, for at most a minute a call: ThreadSanitizer makes hundreds of pages of metrics slow.
class Client {
public:
    explicit Client(const std::string& address, int receive_buffer = 0, const char* from = "127.0.0.1") {
        descriptor_ = ::socket(AF_INET, SOCK_STREAM, 0);
        const timeval wait{60, 0};
        ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
        if (receive_buffer != 0)
            ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        sockaddr_in mine{}, to{};
        mine.sin_family = to.sin_family = AF_INET;
        ::inet_pton(AF_INET, from, &mine.sin_addr);
        EXPECT_EQ(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&mine), sizeof mine), 0);
        const auto colon = address.rfind(':');
        ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
        to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
        EXPECT_EQ(::connect(descriptor_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    }
    ~Client() { ::close(descriptor_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void send(std::string_view bytes) { (void)::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
    /// Until the server closes.
    std::string read_all() {
        std::string all = std::exchange(rest_, {});
        char block[16384];
        for (ssize_t count; (count = ::recv(descriptor_, block, sizeof block, 0)) > 0;)
            all.append(block, static_cast<std::size_t>(count));
        return all;
    }
    void wait_for_bytes() const {
        char byte;
        EXPECT_EQ(::recv(descriptor_, &byte, 1, MSG_PEEK), 1);
    }
    /// One answer with a Content-Length; empty when the server closes first.
    std::string read_one(bool body = true) {
        for (;;) {
            const auto end = rest_.find("\r\n\r\n");
            if (end != rest_.npos) {
                const auto field = rest_.find("Content-Length: ");
                const std::size_t size = end + 4 + (body ? std::stoul(rest_.substr(field + 16)) : 0);
                if (rest_.size() >= size) {
                    auto one = rest_.substr(0, size);
                    rest_.erase(0, size);
                    return one;
                }
            }
            char block[16384];
            const ssize_t count = ::recv(descriptor_, block, sizeof block, 0);
            if (count <= 0) return {};
            rest_.append(block, static_cast<std::size_t>(count));
        }
    }

private:
    int descriptor_ = -1;
    std::string rest_;
};

unsigned status_of(const std::string& answer) {
    return answer.size() < 12 || !answer.starts_with("HTTP/1.1 ")
               ? 0
               : static_cast<unsigned>(std::stoul(answer.substr(9, 3)));
}

std::string get(std::string_view target, std::string_view fields = {}) {
    return "GET " + std::string{target} + " HTTP/1.1\r\nHost: admin\r\n" + std::string{fields} + "\r\n";
}

/// The server on a loop of its own thread.
class AdminServerTest : public testing::Test {
protected:
    void begin(const std::string& yaml = test::three_regions,
               loop::milliseconds patience = loop::milliseconds{10'000}) {
        world = std::make_unique<World>(yaml);
        board.publish(std::make_shared<const shared::Snapshot>(world->snapshot));
        auto process = world->process();
        process.reload = [this, reload = process.reload]() -> loop::Task<control::Control::ReloadResult> {
            auto result = co_await reload();
            if (on_reload) on_reload();
            co_return result;
        };
        process.failed = [this](const std::exception& error) {
            if (on_failure) on_failure(error);
        };
        server = std::make_unique<AdminServer>(loop, process, board, world->registry);
        server->patience = patience;
        std::string error;
        ASSERT_TRUE(server->open(world->snapshot.routing->config.admin, error)) << error;
        address = server->address();
        thread = std::thread{[this] { loop.run(); }};
    }
    void TearDown() override {
        loop.stop();
        if (thread.joinable()) thread.join();
        server.reset();
    }
    /// A value of the loop's thread.
    template <class Work>
    auto on_loop(Work work) {
        std::promise<decltype(work())> answer;
        loop.post([&] { answer.set_value(work()); });
        return answer.get_future().get();
    }
    bool sessions_become(std::size_t count) {
        for (int i = 0; i < 6000; ++i) {
            if (on_loop([this] { return server->sessions(); }) == count) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
        return false;
    }

    loop::Loop loop;
    shared::Board board;
    std::unique_ptr<World> world;
    std::unique_ptr<AdminServer> server;
    std::function<void()> on_reload;
    std::function<void(const std::exception&)> on_failure;
    std::string address;
    std::thread thread;
};

TEST_F(AdminServerTest, KeepsConnectionsAndAnswersInOrder) {
    begin();
    Client client{address};
    client.send(get("/livez") + get("/nothing") + get("/readyz"));
    EXPECT_TRUE(client.read_one().ends_with("\r\n\r\nok\n"));
    EXPECT_EQ(status_of(client.read_one()), 404u);
    EXPECT_TRUE(client.read_one().ends_with("ready\n"));
    client.send(get("/metrics", "Connection: close\r\n"));
    const auto last = client.read_all();
    EXPECT_EQ(status_of(last), 200u);
    EXPECT_NE(last.find("Connection: close"), last.npos);
    EXPECT_NE(last.find("nearhop_build_info"), last.npos);
    EXPECT_TRUE(sessions_become(0));
}

TEST_F(AdminServerTest, TakesAHeadByteByByteAndClosesForHttp10) {
    begin();
    Client client{address};
    for (const char byte : std::string_view{"GET /livez HTTP/1.0\r\n\r\n"}) client.send({&byte, 1});
    const auto answer = client.read_all();
    EXPECT_TRUE(answer.ends_with("\r\n\r\nok\n")) << answer;
}

TEST_F(AdminServerTest, AnswersHeadWithoutABody) {
    begin();
    Client client{address};
    client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n" + get("/livez"));
    const auto head = client.read_one(false);
    EXPECT_EQ(status_of(head), 200u);
    EXPECT_EQ(head.find("Content-Length: 0\r\n"), head.npos);
    EXPECT_TRUE(client.read_one().ends_with("ok\n"));
}

TEST_F(AdminServerTest, RefusesWhatItCannotReadAndCloses) {
    begin();
    const struct {
        std::string bytes;
        unsigned status;
    } cases[] = {
        {"garbage\r\n\r\n", 400},
        {"GET /livez HTTP/1.1\nHost: a\n\n", 400},
        {"GET /livez HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST /reload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
        {"POST /reload HTTP/1.1\r\nContent-Length: 999999\r\n\r\n", 413},
        {"GET /livez HTTP/1.1\r\nX: " + std::string(200'000, 'y') + "\r\n\r\n", 431},
        {std::string(16, '\0') + "\r\n\r\n", 400},
    };
    for (const auto& [bytes, status] : cases) {
        Client client{address};
        client.send(bytes);
        EXPECT_EQ(status_of(client.read_all()), status) << bytes.substr(0, 60);
    }
    EXPECT_TRUE(sessions_become(0));
}

TEST_F(AdminServerTest, ReadsPastASmallBody) {
    begin();
    Client client{address};
    client.send("POST /reload HTTP/1.1\r\nAuthorization: Bearer let-me-in\r\nContent-Length: 5\r\n\r\nhe");
    client.send("llo" + get("/livez"));
    EXPECT_EQ(status_of(client.read_one()), 200u);
    EXPECT_TRUE(client.read_one().ends_with("ok\n"));
    EXPECT_EQ(on_loop([this] { return world->reloads; }), 1);
}

TEST_F(AdminServerTest, BelievesNoTokenThatComesTwice) {
    begin();
    Client client{address};
    client.send("POST /reload HTTP/1.1\r\nAuthorization: Bearer let-me-in\r\nAuthorization: Bearer let-me-in\r\n\r\n");
    EXPECT_EQ(status_of(client.read_one()), 401u);
}

TEST_F(AdminServerTest, DelaysNobodyForAScraperThatNeverReadsAndLeavesItBehind) {
    begin(test::three_regions, loop::milliseconds{2000});
    std::vector<std::unique_ptr<Client>> stuck;
    std::string many;
    for (int i = 0; i < 200; ++i) many += get("/metrics");
    for (int i = 0; i < 20; ++i) {
        stuck.push_back(std::make_unique<Client>(address, 2048));
        stuck.back()->send(many.substr(0, 12'000));
    }
    Client client{address};
    client.send(get("/livez", "Connection: close\r\n"));
    EXPECT_TRUE(client.read_all().ends_with("ok\n"));
    EXPECT_TRUE(sessions_become(0)) << "stalled sessions end when the patience does";
}

TEST_F(AdminServerTest, HoldsLargePagesForSoManyReadersOnly) {
    std::string yaml = test::three_regions;
    for (int i = 0; i < 3000; ++i) {  // more than a socket's buffers hold
        const auto number = std::to_string(i);
        yaml += "  site-" + number + ": {hosts: [h" + number + ".test]}\n";
    }
    begin(yaml, loop::milliseconds{60'000});
    world->registry.set_most_rows(100'000);
    on_loop([this] { return server->most_held = 1; });
    Client slow{address, 65536}, other{address};
    slow.send(get("/metrics"));
    slow.wait_for_bytes();
    other.send(get("/metrics"));
    const auto refused = other.read_one();
    EXPECT_EQ(status_of(refused), 503u);
    EXPECT_NE(refused.find("Retry-After: "), refused.npos);
    Client small{address};
    small.send(get("/livez"));
    EXPECT_TRUE(small.read_one().ends_with("ok\n"));
    EXPECT_EQ(status_of(slow.read_one()), 200u);
    small.send(get("/metrics"));
    EXPECT_EQ(status_of(small.read_one()), 200u) << "there is room again";
}

TEST_F(AdminServerTest, EndsASessionThatThrewAndTells) {
    std::vector<std::string> told;
    on_failure = [&](const std::exception& error) { told.emplace_back(error.what()); };
    on_reload = [] { throw std::bad_alloc{}; };
    begin();
    Client client{address}, other{address};
    client.send("POST /reload HTTP/1.1\r\nAuthorization: Bearer let-me-in\r\n\r\n");
    EXPECT_EQ(client.read_all(), "");
    other.send(get("/livez"));
    EXPECT_TRUE(other.read_one().ends_with("ok\n"));
    EXPECT_EQ(on_loop([&] { return told; }), std::vector<std::string>{"std::bad_alloc"});
}

TEST_F(AdminServerTest, EndsASessionThatSendsNothingOrHalfAHead) {
    begin(test::three_regions, loop::milliseconds{50});
    Client silent{address}, slow{address};
    slow.send("GET /livez HT");
    EXPECT_EQ(silent.read_all(), "");
    EXPECT_EQ(slow.read_all(), "");
}

TEST_F(AdminServerTest, HasRoomForSixtyFourAndAgainWhenTheyLeave) {
    begin();
    std::vector<std::unique_ptr<Client>> clients;
    for (std::size_t i = 0; i < AdminServer::most_sessions; ++i) {
        clients.push_back(std::make_unique<Client>(address));
        clients.back()->send(get("/livez"));
        ASSERT_TRUE(clients.back()->read_one().ends_with("ok\n")) << i;
    }
    Client late{address};
    EXPECT_EQ(late.read_all(), "");
    clients.clear();
    ASSERT_TRUE(sessions_become(0));
    Client again{address};
    again.send(get("/livez"));
    EXPECT_TRUE(again.read_one().ends_with("ok\n"));
}

TEST_F(AdminServerTest, TellsStrangersNothingAndKeepsFewOfThem) {
    std::string yaml = test::three_regions;
    yaml.insert(yaml.find(", token"), ", allow: [127.0.0.1/32], allow_loopback: false");
    begin(yaml);
    Client stranger{address, 0, "127.0.0.9"};
    stranger.send(get("/metrics"));
    const auto answer = stranger.read_all();
    EXPECT_EQ(status_of(answer), 403u);
    EXPECT_EQ(answer.find("nearhop_"), answer.npos);
    ASSERT_TRUE(sessions_become(0));

    std::vector<std::unique_ptr<Client>> crowd;
    crowd.reserve(AdminServer::most_untrusted);
    for (std::size_t i = 0; i < AdminServer::most_untrusted; ++i)
        crowd.push_back(std::make_unique<Client>(address, 0, "127.0.0.9"));
    ASSERT_TRUE(sessions_become(AdminServer::most_untrusted));
    Client one_more{address, 0, "127.0.0.9"};
    EXPECT_EQ(one_more.read_all(), "");
    Client allowed{address};
    allowed.send(get("/livez"));
    EXPECT_TRUE(allowed.read_one().ends_with("ok\n"));
}

TEST_F(AdminServerTest, FollowsTheAllowListOfTheCurrentConfiguration) {
    begin();
    Client client{address};
    client.send(get("/livez"));
    EXPECT_EQ(status_of(client.read_one()), 200u);
    std::string yaml = test::three_regions;
    yaml.insert(yaml.find(", token"), ", allow: [10.0.0.0/8], allow_loopback: false");
    auto next = std::make_shared<shared::Snapshot>(test::snapshot_of(yaml));
    next->generation = 2;
    board.publish(next);
    client.send(get("/livez"));
    EXPECT_EQ(status_of(client.read_all()), 403u);
}

TEST_F(AdminServerTest, MayBeClosedFromWithinAnAnswer) {
    on_reload = [this] { server->close(); };
    begin();
    Client idle{address}, client{address};
    client.send("POST /reload HTTP/1.1\r\nAuthorization: Bearer let-me-in\r\n\r\n");
    client.read_all();
    EXPECT_EQ(idle.read_all(), "");
    EXPECT_TRUE(sessions_become(0));
    EXPECT_EQ(on_loop([this] { return server->address(); }), "");
}

TEST_F(AdminServerTest, SaysWhyItCannotListen) {
    begin();
    const auto error = on_loop([this] {
        AdminServer second{loop, world->process(), board, world->registry};
        conf::Admin admin;
        const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
        admin.listen = conf::At<conf::ListenAddress>{{"127.0.0.1", port}};
        std::string why;
        EXPECT_FALSE(second.open(admin, why));
        return why;
    });
    EXPECT_EQ(error, address + ": Address already in use");
}

}  // namespace
}  // namespace nearhop::admin
