#include "proxy/client/http2_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace nearhop::client {
namespace {

struct Delete {
    void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
    void operator()(nghttp2_session_callbacks* callbacks) const noexcept { nghttp2_session_callbacks_del(callbacks); }
};
using Session = std::unique_ptr<nghttp2_session, Delete>;

std::unique_ptr<nghttp2_session_callbacks, Delete> no_callbacks() {
    nghttp2_session_callbacks* made = nullptr;
    nghttp2_session_callbacks_new(&made);
    return std::unique_ptr<nghttp2_session_callbacks, Delete>{made};
}

Session server(Http2Memory& memory) {
    nghttp2_session* made = nullptr;
    auto allocator = memory.allocator();
    nghttp2_session_server_new3(&made, no_callbacks().get(), nullptr, nullptr, &allocator);
    memory.created();
    return Session{made};
}

Session client() {
    nghttp2_session* made = nullptr;
    nghttp2_session_client_new(&made, no_callbacks().get(), nullptr);
    return Session{made};
}

/// Until both have nothing to say.
void talk(nghttp2_session* one, nghttp2_session* other) {
    for (bool moved = true; std::exchange(moved, false);) {
        for (auto [from, to] : {std::pair{one, other}, {other, one}}) {
            const std::uint8_t* bytes = nullptr;
            while (const auto size = nghttp2_session_mem_send(from, &bytes)) {
                ASSERT_GT(size, 0);
                ASSERT_EQ(nghttp2_session_mem_recv(to, bytes, static_cast<std::size_t>(size)), size);
                moved = true;
            }
        }
    }
}

std::int32_t request(nghttp2_session* from) {
    const auto field = [](const char* name, const char* value) {
        return nghttp2_nv{reinterpret_cast<std::uint8_t*>(const_cast<char*>(name)),
                          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value)), std::strlen(name),
                          std::strlen(value), NGHTTP2_NV_FLAG_NONE};
    };
    const nghttp2_nv fields[] = {field(":method", "GET"), field(":scheme", "https"), field(":path", "/"),
                                 field(":authority", "example.com"), field("x-kept", "in the table")};
    return nghttp2_submit_request(from, nullptr, fields, std::size(fields), nullptr, nullptr);
}

bool answer(nghttp2_session* from, std::int32_t stream) {
    std::uint8_t name[] = ":status";
    std::uint8_t value[] = "204";
    const nghttp2_nv field{name, value, 7, 3, NGHTTP2_NV_FLAG_NONE};
    return nghttp2_submit_response(from, stream, &field, 1, nullptr) == 0;
}

std::size_t resident_pages(const char* block) {
    unsigned char pages[Http2Blocks::block_bytes / 4096];
    EXPECT_EQ(mincore(const_cast<char*>(block), Http2Blocks::block_bytes, pages), 0);
    return static_cast<std::size_t>(
        std::count_if(std::begin(pages), std::end(pages), [](auto p) { return (p & 1) != 0; }));
}

TEST(Http2Memory, HoldsWhatNghttp2AllocatesForASession) {
    Http2Blocks blocks;
    Http2Memory memory{blocks};
    const auto session = server(memory);
    EXPECT_TRUE(memory.fits()) << "another nghttp2: http2_memory.h was written for what this one does not do";
}

TEST(Http2Memory, ASessionGoesOnAfterItsRestAsIfNothingHadBeen) {
    Http2Blocks blocks;
    Http2Memory memory{blocks};
    const auto edge = server(memory);
    const auto other = client();
    nghttp2_submit_settings(edge.get(), 0, nullptr, 0);
    nghttp2_submit_settings(other.get(), 0, nullptr, 0);
    for (int turn = 0; turn < 50; ++turn) {
        const auto stream = request(other.get());  // from the second turn on by references into the HPACK table
        ASSERT_GT(stream, 0);
        talk(other.get(), edge.get());
        ASSERT_TRUE(answer(edge.get(), stream));
        talk(edge.get(), other.get());
        ASSERT_EQ(nghttp2_session_want_write(edge.get()), 0);
        memory.rest();
    }
}

TEST(Http2Memory, AnIdleSessionHoldsNoPage) {
    if (sysconf(_SC_PAGESIZE) != 4096) GTEST_SKIP() << "pages of another size";
    Http2Blocks blocks;
    char* const block = blocks.take();
    blocks.give(block);
    Http2Memory memory{blocks};
    const auto session = server(memory);
    std::memset(block, 'x', Http2Blocks::frame_bytes);
    EXPECT_EQ(resident_pages(block), 6u);
    memory.rest();
    EXPECT_EQ(resident_pages(block), 0u);
}

TEST(Http2Memory, AMapInUseKeepsItsPage) {
    Http2Blocks blocks;
    char* const block = blocks.take();
    blocks.give(block);
    Http2Memory memory{blocks};
    const auto session = server(memory);
    char& last = block[Http2Blocks::block_bytes - 1];
    last = 'x';
    memory.rest();
    EXPECT_EQ(last, 'x');
    last = 0;
}

TEST(Http2Memory, OnlyTheTwoLargeThingsOfANewSessionAreInTheBlock) {
    Http2Blocks blocks;
    Http2Memory memory{blocks};
    auto allocator = memory.allocator();
    char* const frame = static_cast<char*>(allocator.malloc(16'394, allocator.mem_user_data));
    char* const second = static_cast<char*>(allocator.malloc(16'394, allocator.mem_user_data));
    EXPECT_NE(second, frame);
    std::memset(frame, 'f', 16'394);
    char* const moved = static_cast<char*>(allocator.realloc(frame, 100'000, allocator.mem_user_data));
    EXPECT_EQ(moved[16'393], 'f');
    memory.created();
    char* const map = static_cast<char*>(allocator.calloc(256, 16, allocator.mem_user_data));
    EXPECT_TRUE(std::all_of(map, map + 4096, [](char byte) { return byte == 0; }));
    EXPECT_FALSE(memory.fits()) << "it came too late";
    for (char* each : {frame, second, moved, map}) allocator.free(each, allocator.mem_user_data);
}

TEST(Http2Blocks, AreUsedAgainAndNeverTwiceAtATime) {
    Http2Blocks blocks;
    std::set<char*> taken;
    for (int i = 0; i < 200; ++i) {
        char* block = blocks.take();
        block[0] = block[Http2Blocks::block_bytes - 1] = 'x';
        EXPECT_TRUE(taken.insert(block).second);
    }
    for (char* block : taken) blocks.give(block);
    for (int i = 0; i < 200; ++i) EXPECT_TRUE(taken.contains(blocks.take()));
}

}  // namespace
}  // namespace nearhop::client
