#include "proxy/wire/chunked.h"

#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <string>

namespace nearhop::wire {
namespace {

using Result = ChunkedDecoder::Result;
using namespace std::string_literals;

struct Decoded {
    std::string body;
    Result result = Result::more;
    std::size_t used = 0;
};

/// Feeds `wire` in two pieces, or byte by byte when `split` is npos.
Decoded decode(const std::string& wire, std::size_t split, ChunkedDecoder decoder = {}) {
    Decoded all;
    std::size_t given = split == std::string::npos ? 1 : split;
    for (;;) {
        const auto step = decoder.next({wire.data() + all.used, given - all.used});
        all.used += step.used;
        all.result = step.result;
        if (step.result == Result::data) {
            all.body += step.data;
            EXPECT_EQ(step.data.data() + step.data.size(), wire.data() + all.used)
                << "data is the tail of what was used";
            continue;
        }
        if (step.result != Result::more) return all;
        EXPECT_EQ(all.used, given) << "asking for more, it is done with what it has";
        if (given == wire.size()) return all;
        given = split == std::string::npos ? given + 1 : wire.size();
    }
}

struct Case {
    const char* name;
    std::string wire;
    Result result;
    std::string body = {};
};
using tests::PrintTo;
struct Chunked : testing::TestWithParam<Case> {};

TEST_P(Chunked, IsDecodedTheSameAtEverySplit) {
    const auto& row = GetParam();
    const std::string wire = row.wire + (row.result == Result::done ? "GET /next" : "");
    for (std::size_t split = 0; split <= wire.size() + 1; ++split) {
        const auto got = decode(wire, split > wire.size() ? std::string::npos : split);
        ASSERT_EQ(got.result, row.result) << split;
        if (row.result != Result::done) continue;
        EXPECT_EQ(got.body, row.body) << split;
        EXPECT_EQ(got.used, row.wire.size()) << "what follows belongs to the next message; split " << split;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Table, Chunked,
    testing::Values(Case{"Empty", "0\r\n\r\n", Result::done},
                    Case{"One", "5\r\nhello\r\n0\r\n\r\n", Result::done, "hello"},
                    Case{"Two", "5\r\nhello\r\n3\r\n!!!\r\n0\r\n\r\n", Result::done, "hello!!!"},
                    Case{"HexInBothCases", "A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", Result::done,
                         "01234567890123456789a"},
                    Case{"ZerosInFront", "0005\r\nhello\r\n000\r\n\r\n", Result::done, "hello"},
                    Case{"Extension", "5;a=b;c\r\nhello\r\n0;x\r\n\r\n", Result::done, "hello"},
                    Case{"QuotedExtension", "5;a=\"b c\"\r\nhello\r\n0\r\n\r\n", Result::done, "hello"},
                    Case{"SpaceBeforeExtension", "5 ;a\r\nhello\r\n0\r\n\r\n", Result::done, "hello"},
                    Case{"SpaceBehindSize", "5  \r\nhello\r\n0\r\n\r\n", Result::done, "hello"},
                    Case{"Trailers", "1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", Result::done, "x"},
                    Case{"CrlfInData", "4\r\n\r\n\r\n\r\n0\r\n\r\n", Result::done, "\r\n\r\n"},
                    Case{"Unfinished", "5\r\nhel", Result::more}, Case{"NoEnd", "5\r\nhello\r\n0\r\n", Result::more},
                    Case{"NoSize", "\r\n", Result::malformed}, Case{"Sign", "+5\r\nhello\r\n", Result::malformed},
                    Case{"Minus", "-1\r\n", Result::malformed}, Case{"Hex0x", "0x5\r\nhello\r\n", Result::malformed},
                    Case{"SpaceInFront", " 5\r\nhello\r\n", Result::malformed},
                    Case{"Letters", "g\r\n", Result::malformed}, Case{"OnlyExtension", ";a=b\r\n", Result::malformed},
                    Case{"SizeThenSize", "5 5\r\nhello\r\n0\r\n\r\n", Result::malformed},
                    Case{"SizeThenText", "5 x\r\nhello\r\n0\r\n\r\n", Result::malformed},
                    Case{"Wraps64", "10000000000000005\r\nhello\r\n", Result::malformed},
                    Case{"Above63", "8000000000000000\r\n", Result::malformed},  // CVE-2013-2028
                    Case{"Largest64", "ffffffffffffffff\r\n", Result::malformed},
                    Case{"BareFeedAfterSize", "5\nhello\r\n0\r\n\r\n", Result::malformed},  // CVE-2025-22871
                    Case{"BareReturnAfterSize", "5\rhello\r\n0\r\n\r\n", Result::malformed},
                    Case{"FeedInExtension", "5;a\nb\r\nhello\r\n", Result::malformed},  // CVE-2025-55315
                    Case{"ReturnInExtension", "5;a\rb\r\nhello\r\n", Result::malformed},
                    Case{"NulInExtension", "5;a\0\r\nhello\r\n"s, Result::malformed},
                    Case{"NoCrlfAfterData", "5\r\nhelloXX0\r\n\r\n", Result::malformed},  // CVE-2025-43859
                    Case{"FeedAfterData", "5\r\nhello\n0\r\n\r\n", Result::malformed},
                    Case{"ReturnsAfterData", "5\r\nhello\r\r0\r\n\r\n", Result::malformed},
                    Case{"DataTooLong", "5\r\nhello!\r\n0\r\n\r\n", Result::malformed},
                    Case{"BareFeedAtTheEnd", "0\r\n\n", Result::malformed},
                    Case{"FeedInTrailer", "0\r\nA: b\n\r\n", Result::malformed},
                    Case{"NulInTrailer", "0\r\nA: \0\r\n\r\n"s, Result::malformed},
                    Case{"FoldInTrailer", "0\r\nA: b\r\n c\r\n\r\n", Result::malformed},
                    Case{"TrailerWithoutName", "0\r\n: b\r\n\r\n", Result::malformed},
                    Case{"LongLine", "5;" + std::string(300, 'x') + "\r\nhello\r\n",
                         Result::malformed},  // CVE-2023-39326
                    Case{"ManyZeros", std::string(300, '0') + "5\r\nhello\r\n", Result::malformed},
                    Case{"LongTrailers", "0\r\nA: " + std::string(9000, 'x') + "\r\n\r\n", Result::malformed}),
    [](const auto& row) { return row.param.name; });

TEST(ChunkedDecoder, KeepsTrailersAsTheyCame) {
    ChunkedDecoder decoder;
    EXPECT_EQ(decoder.next("0\r\nA: b\r\nC:d\r\n\r\nrest").result, Result::done);
    EXPECT_EQ(decoder.trailers(), "A: b\r\nC:d\r\n");
    EXPECT_TRUE(decoder.done());
}

TEST(ChunkedDecoder, ManyShortTrailersCountTowardsTheLimit) {
    std::string wire = "0\r\n";
    for (int i = 0; i < 5000; ++i) wire += "a:\r\n";
    EXPECT_EQ(decode(wire + "\r\n", wire.size()).result, Result::malformed);
}

TEST(ChunkedDecoder, OnceMalformedAlwaysMalformed) {
    ChunkedDecoder decoder;
    EXPECT_EQ(decoder.next("x").result, Result::malformed);
    EXPECT_EQ(decoder.next("5\r\nhello\r\n0\r\n\r\n").result, Result::malformed);
    EXPECT_FALSE(decoder.done());
}

TEST(ChunkLine, IsReadBackByTheDecoder) {
    for (const std::uint64_t size : {1ULL, 9ULL, 10ULL, 15ULL, 16ULL, 255ULL, 4096ULL, 0xfffffffffffffffULL}) {
        char line[20];
        const std::string text{line, write_chunk_line(size, line)};
        ChunkedDecoder decoder;
        EXPECT_EQ(decoder.next(text).result, Result::more) << text;
        EXPECT_EQ(std::stoull(text, nullptr, 16), size);
    }
}

}  // namespace
}  // namespace nearhop::wire
