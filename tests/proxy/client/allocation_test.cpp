#include "proxy/client/http1_codec.h"
#include "proxy/message/headers.h"
#include "tests/proxy/loop/support.h"

#include <cstdlib>
#include <new>
#include <sys/epoll.h>

// Every allocation of this binary is counted.
namespace {
std::size_t allocations = 0;
}
void* operator new(std::size_t size) {
    ++allocations;
    if (void* block = std::malloc(size)) return block;
    throw std::bad_alloc{};
}
// Not inlined: the compiler would see free() for what its own operator new had returned.
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace nearhop::client {
namespace {

/// One request and its answer as a session and an exchange carry them, on plain sockets, `rounds` times.
std::size_t allocations_of(int rounds, bool idle_between) {
    conf::Limits limits;
    loop::Loop loop;
    loop::Wake wake{loop};
    test::TcpPair from_client;
    test::TcpPair to_origin;
    wire::Stream client;
    wire::Stream origin;
    client.socket().open(loop, from_client.ours.release(), wake, false);
    origin.socket().open(loop, to_origin.ours.release(), wake, false);
    Http1Codec codec{client, true};
    wire::MessageWriter writer;
    steering::SiteTable site;
    site.host_header = "client";
    shared::OriginInfo info;
    message::Forwarding how;
    how.peer = *geo::Address::parse("192.0.2.7");
    how.request_id = "0123abc";

    std::size_t before = 0;
    char bytes[4096];
    for (int round = 0; round < rounds; ++round) {
        if (round == rounds / 2) before = allocations;
        test::send_all(
            from_client.theirs.get(),
            "GET /path HTTP/1.1\r\nHost: a.test\r\nUser-Agent: test\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n");
        client.socket().on_events(EPOLLIN);
        codec.begin_request(limits);
        if (codec.read_head() != Http1Codec::Read::ready) std::abort();
        message::write_request_head(codec.request(), how, site, info, writer.staging());
        if (writer.flush(origin) != loop::Io::ok) std::abort();
        if (::recv(to_origin.theirs.get(), bytes, sizeof bytes, 0) <= 0) std::abort();
        codec.start(
            {.status = 200, .reason = "OK", .fields = {}, .extra = {}, .framing = {wire::Framing::Kind::length, 5}});
        if (codec.write("hello") != 5) std::abort();
        codec.finish({});
        if (codec.flush() != loop::Io::ok) std::abort();
        if (::recv(from_client.theirs.get(), bytes, sizeof bytes, 0) <= 0) std::abort();
        if (idle_between) {
            codec.begin_request(limits);
            if (codec.read_head() != Http1Codec::Read::pending) std::abort();
            codec.release();
        }
    }
    return allocations - before;
}

TEST(Allocations, ABusyConnectionMakesNone) { EXPECT_EQ(allocations_of(200, false), 0U); }

TEST(Allocations, AConnectionThatIdlesBetweenRequestsMakesNone) { EXPECT_EQ(allocations_of(200, true), 0U); }

}  // namespace
}  // namespace nearhop::client
