#include "conf/tree.h"

#include "tests/conf/support.h"
#include "tests/support/rows.h"

#include <gtest/gtest.h>

namespace nearhop::conf {
namespace {

TEST(Tree, KeepsTextsMarksAndOrder) {
    Problems problems;
    const Tree tree = read_tree("b: NO\na: [1.10, 'off']\nc:\n", problems);
    EXPECT_EQ(all_lines(problems), "");
    ASSERT_EQ(tree.items.size(), 3U);
    EXPECT_EQ(tree.items[0].key, "b");
    EXPECT_EQ(tree.items[0].text, "NO");
    EXPECT_EQ(tree.items[1].items[0].text, "1.10");
    EXPECT_EQ(tree.items[1].items[1].mark.line, 2);
    EXPECT_EQ(tree.items[1].items[1].mark.column, 11);
    EXPECT_EQ(tree.items[2].kind, Tree::Kind::empty);
    EXPECT_EQ(tree.items[2].mark.line, 3);
    EXPECT_EQ(tree.find("a"), &tree.items[1]);
    EXPECT_EQ(tree.find("d"), nullptr);
}

TEST(Tree, AnEmptyFileIsAnEmptyMap) {
    for (const char* text : {"", "\n\n", "# only a comment\n", "---\n"}) {
        Problems problems;
        EXPECT_EQ(read_tree(text, problems).kind, Tree::Kind::map) << text;
        EXPECT_EQ(all_lines(problems), "");
    }
}

TEST(Tree, TakesWhatIsClosedAndWhatUtf8Has) {
    Problems problems;
    const Tree single = read_tree("a: 'it''s'\nb: ''\n", problems);
    ASSERT_EQ(single.items.size(), 2U);
    EXPECT_EQ(single.items[0].text, "it's");
    const Tree tree = read_tree("a: \"b \\\" \\\\\"\nb: [\"c\", \"caf\xc3\xa9\"]\n", problems);
    EXPECT_EQ(all_lines(problems), "");
    ASSERT_EQ(tree.items.size(), 2U);
    EXPECT_EQ(tree.items[0].text, "b \" \\");
    EXPECT_EQ(tree.items[1].items[1].text, "caf\xc3\xa9");
}

struct Row {
    const char* name;
    std::string yaml;
    std::string line;  ///< the first problem, from its place on
};
using tests::PrintTo;

class RefusedYaml : public testing::TestWithParam<Row> {};

TEST_P(RefusedYaml, IsAProblemWithItsPlace) {
    Problems problems;
    read_tree(GetParam().yaml, problems);
    ASSERT_FALSE(problems.empty());
    const std::string line = to_string(problems.front(), "f");
    EXPECT_TRUE(line.starts_with("f:" + GetParam().line)) << line;
}

std::string repeated(std::string_view text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
}

INSTANTIATE_TEST_SUITE_P(
    Yaml, RefusedYaml,
    testing::Values(
        Row{"Syntax", "a: [1, 2\nb: 3\n", "2:2: error: not valid YAML: "},
        Row{"Tab", "a:\n\tb: 1\n", "2:1: error: want spaces as indentation, found a tab"},
        Row{"TabBehindSpaces", "a:\n  \tb: 1\n", "2:1: error: want spaces as indentation, found a tab"},
        Row{"Zero", std::string{"a: 1\nb: \0\n", 11}, "2:4: error: want a text in UTF-8, found the byte 0x00"},
        Row{"Latin", "a: caf\xe9\n", "1:7: error: want a text in UTF-8, found the byte 0xe9"},
        Row{"Unclosed", "a: 'b'\nc: \"d \\\" \n", "2:4: error: want a closing \", found the end of the file"},
        Row{"UnclosedSingle", "a: 'b'' \n", "1:4: error: want a closing ', found the end of the file"},
        Row{"DuplicateKey", "a: {b: 1, c: 2,\n  b: 3}\n", "2:3: error: a.b: duplicate key, first written in line 1"},
        Row{"DuplicateInAList", "a:\n  - b: 1\n    b: 2\n",
            "3:5: error: a[0].b: duplicate key, first written in line 2"},
        Row{"Anchor", "a: &x 1\n", "1:4: error: anchors are not supported, remove it"},
        Row{"Alias", "a: &x 1\nb: *x\n", "1:4: error: anchors are not supported"},
        Row{"UnknownAlias", "b: *x\n", "1:4: error: not valid YAML: "},
        Row{"Tag", "a: !!int 1\n", "1:4: error: tags are not supported, remove it"},
        Row{"SecondDocument", "a: 1\n---\nb: 2\n", "3:1: error: want one YAML document, found a second"},
        Row{"ListAsKey", "? [a]\n: 1\n", "1:3: error: want a text as key, found a list or a map"},
        Row{"NothingAsKey", "~: 1\n", "1:1: error: want a text as key, found nothing"},
        Row{"Deep", "a: " + repeated("[", 20) + repeated("]", 20),
            "1:19: error: nested too deeply, at most 16 levels are read"},
        Row{"DeepWithoutEnd", repeated("[", 100'000), "1:"},
        Row{"Many", repeated("- a\n", 60'000), "50000:3: error: too many values, at most 50000 are read"},
        Row{"Large", std::string(1024 * 1024 + 1, ' '), " error: the file is too large"}),
    [](const auto& row) { return std::string{row.param.name}; });

}  // namespace
}  // namespace nearhop::conf
