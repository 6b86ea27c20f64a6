#include "proxy/client/http2_large_values.h"

#include "tests/support/rows.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nearhop::client {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

/// A string's length (RFC 7541 section 5.1), never Huffman-coded.
std::string length(std::size_t bytes) {
    if (bytes < 127) return {static_cast<char>(bytes)};
    std::string out{'\x7f'};
    for (bytes -= 127; bytes >= 128; bytes >>= 7) out += static_cast<char>((bytes & 127) | 128);
    return out + static_cast<char>(bytes);
}

enum class Form : char { indexed = 0x40, plain = 0x00, never = 0x10 };

std::string field(Form form, std::string_view name, std::string_view value, bool huffman = false) {
    auto size = length(value.size());
    if (huffman) size.front() |= static_cast<char>(0x80);
    return static_cast<char>(form) + length(name.size()) + std::string{name} + size + std::string{value};
}

/// What nghttp2 makes of header blocks, one after the other.
struct Inflater {
    Inflater() { nghttp2_hd_inflate_new(&inflater); }
    ~Inflater() { nghttp2_hd_inflate_del(inflater); }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;

    std::optional<Fields> read(const std::string& block) {
        Fields fields;
        const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
        std::size_t left = block.size();
        for (;;) {
            nghttp2_nv pair{};
            int flags = 0;
            const auto used = nghttp2_hd_inflate_hd2(inflater, &pair, &flags, at, left, 1);
            if (used < 0) return {};
            at += used;
            left -= static_cast<std::size_t>(used);
            if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
                fields.emplace_back(std::string{reinterpret_cast<char*>(pair.name), pair.namelen},
                                    std::string{reinterpret_cast<char*>(pair.value), pair.valuelen});
            if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
        }
        nghttp2_hd_inflate_end_headers(inflater);
        return fields;
    }

    nghttp2_hd_inflater* inflater = nullptr;
};

/// The block as it leaves, in fragments of `piece` bytes.
std::string passed(std::string block, std::size_t piece, bool* found = nullptr) {
    LargeValues guard;
    guard.begin_block();
    for (std::size_t at = 0; at < block.size(); at += piece)
        guard.pass({block.data() + at, std::min(piece, block.size() - at)});
    if (found) *found = guard.found();
    return block;
}

struct Case {
    const char* name;
    Form form;
    std::size_t bytes;
    bool huffman = false;
};
using tests::PrintTo;

class LargeValue : public testing::TestWithParam<Case> {};

TEST_P(LargeValue, IsShortenedForNghttp2AndLeavesTheSameTable) {
    const auto& [name, form, bytes, huffman] = GetParam();
    const std::string before = field(Form::indexed, "x-before", "1");
    const std::string behind = field(Form::indexed, "x-behind", "2") + field(Form::plain, "x-last", "3");
    const std::string block = before + field(form, "x-large", std::string(bytes, 'v'), huffman) + behind;
    ASSERT_FALSE(Inflater{}.read(block)) << "nghttp2 takes it by itself: none of this is needed";

    bool found = false;
    const std::string written = passed(block, 16'384, &found);
    EXPECT_TRUE(found);
    ASSERT_EQ(written.size(), block.size()) << "frames keep their lengths";
    EXPECT_EQ(written.substr(0, before.size()), before);
    EXPECT_EQ(written.substr(written.size() - behind.size()), behind);

    Inflater inflater;
    const auto fields = inflater.read(written);
    ASSERT_TRUE(fields);
    EXPECT_EQ(fields->front(), (std::pair<std::string, std::string>{"x-before", "1"}));
    EXPECT_EQ((*fields)[1].first, "x-large");
    EXPECT_EQ((*fields)[1].second.size(), LargeValues::nghttp2_most);
    EXPECT_EQ(fields->back(), (std::pair<std::string, std::string>{"x-last", "3"}));

    // An entry that is larger than the table empties it (RFC 7541 section 4.4).
    Fields table{{"x-behind", "2"}};
    if (form != Form::indexed) table.emplace_back("x-before", "1");
    std::string indices;
    for (std::size_t i = 0; i < table.size(); ++i) indices += static_cast<char>(0x80 | (62 + i));
    EXPECT_EQ(inflater.read(indices), table);
    EXPECT_FALSE(inflater.read({static_cast<char>(0x80 | (62 + table.size()))}));
}

constexpr Case cases[]{
    {"OneByteTooMany", Form::plain, 65'537},
    {"RestOfSingleFields", Form::plain, 65'536 + 132},
    {"RestOfOneField", Form::plain, 65'536 + 133},
    {"HundredKilobytes", Form::plain, 100'000},
    {"NeverIndexed", Form::never, 100'000},
    {"Indexed", Form::indexed, 100'000},
    {"HuffmanCoded", Form::indexed, 100'000, true},
    {"RestWithoutRest", Form::indexed, 2 * 65'536 + 6},
    {"RestOfTwoFields", Form::indexed, 2 * 65'536 + 6 + 133},
    {"AsLongAsAnyHead", Form::indexed, 1'000'000},
};
INSTANTIATE_TEST_SUITE_P(Values, LargeValue, testing::ValuesIn(cases),
                         [](const auto& row) { return std::string{row.param.name}; });

TEST(LargeValues, EverythingElseStaysAsItIs) {
    const std::string block =
        "\x3f\xe1\x1f"  // the table's new size
        "\x82\x86\x41\x05other\x0f\x0d\x03"
        "abc" +
        field(Form::plain, "a", "") + field(Form::indexed, std::string(70'000, 'n'), "v") +
        field(Form::never, "x", std::string(65'536, 'v')) + field(Form::plain, "", "");
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{16'384}, block.size()}) {
        bool found = true;
        EXPECT_EQ(passed(block, piece, &found), block);
        EXPECT_FALSE(found);
    }
}

TEST(LargeValues, HowABlockIsCutIntoFramesMakesNoDifferenceButInALength) {
    const std::string block = field(Form::plain, "a", "b") + field(Form::indexed, "x", std::string(70'000, 'v')) +
                              field(Form::plain, "a", std::string(66'000, 'v'));
    const std::string written = passed(block, block.size());
    std::map<std::size_t, int> differ;
    for (std::size_t piece = 1; piece < 100; ++piece) {
        bool found = false;
        const auto other = passed(block, piece, &found);
        if (other != written) ++differ[piece];
        EXPECT_EQ(Inflater{}.read(other).has_value(), other == written) << piece;
    }
    EXPECT_TRUE(differ.contains(1)) << "a length in pieces is left to nghttp2";
    EXPECT_LT(differ.size(), 30u);
}

TEST(LargeValues, NumbersWithoutEndAreLeftAlone) {
    const std::string block = field(Form::plain, "a", "b") + std::string{"\x00\x01x\x7f", 4} + std::string(20, '\xff');
    for (const std::size_t piece : {std::size_t{1}, block.size()}) EXPECT_EQ(passed(block, piece), block);
}

}  // namespace
}  // namespace nearhop::client
