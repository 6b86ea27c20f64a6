#include "conf/tree.h"

#include "conf/utf8.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <istream>
#include <map>
#include <optional>
#include <streambuf>
#include <string>
#include <utility>

// The only file that includes yaml-cpp. Its events are used, not its nodes: nodes keep the first of two equal keys
// without a word, resolve aliases (a few lines of them expand to gigabytes) and lose where an empty value stood.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

namespace nearhop::conf {

const Tree* Tree::find(std::string_view name) const noexcept {
    const auto found = std::find_if(items.begin(), items.end(), [&](const Tree& item) { return item.key == name; });
    return kind != Kind::map || found == items.end() ? nullptr : &*found;
}

namespace {

constexpr std::size_t bytes_limit = 1024 * 1024;
constexpr std::size_t depth_limit = 16;       // our deepest key is at 6
constexpr std::size_t values_limit = 50'000;  // thousands of overrides are fine
constexpr std::size_t problems_limit = 100;   // such as duplicate keys; then reading on is pointless

/// Ends the walk; what is wrong is already among the problems.
struct GiveUp {};

Mark to_mark(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

/// Reads straight from the caller's text: no copy.
class TextBuffer : public std::streambuf {
public:
    explicit TextBuffer(std::string_view text) {
        char* begin = const_cast<char*>(text.data());  // a get area is never written to without pbackfail()
        setg(begin, begin, begin + text.size());
    }
};

/// What stands from a place on.
std::string_view rest_of(std::string_view text, Mark mark) {
    for (int line = 1; line < mark.line && !text.empty(); ++line)
        text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    return text.substr(std::min(static_cast<std::size_t>(std::max(mark.column, 1) - 1), text.size()));
}

/// Of a text that begins in quotes. In double ones a backslash escapes, in single ones the quote itself, doubled.
bool is_closed(std::string_view quoted) {
    const char quote = quoted.front();
    for (std::size_t i = 1; i < quoted.size(); ++i) {
        if (quote == '"' && quoted[i] == '\\') {
            ++i;
        } else if (quoted[i] == quote) {
            if (quote == '"' || i + 1 == quoted.size() || quoted[i + 1] != quote) return true;
            ++i;
        }
    }
    return false;
}

/// Nothing of ours needs control characters, and a message or a log line could not show them.
std::optional<Problem> unreadable_byte(std::string_view text) {
    Mark mark{1, 1};
    for (std::size_t i = 0; i < text.size(); ++mark.column) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const std::size_t length = utf8_length(text, i);
        const bool control = (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f;
        if (control || length == 0) {
            constexpr std::string_view digits = "0123456789abcdef";
            const std::string code{'0', 'x', digits[byte >> 4], digits[byte & 15]};
            return Problem{Severity::error, mark, {}, "want a text in UTF-8, found the byte " + code};
        }
        if (byte == '\n') mark = {mark.line + 1, 0};
        i += length;
    }
    return std::nullopt;
}

/// What yaml-cpp says of a tab in front of a key (illegal map value) helps nobody.
bool is_indented_by_tab(std::string_view text, Mark mark) {
    const auto line = rest_of(text, {mark.line, 1});
    const auto blanks = line.substr(0, line.find_first_not_of(" \t"));
    return blanks.find('\t') != std::string_view::npos;
}

class Builder : public YAML::EventHandler {
public:
    explicit Builder(Problems& problems) : problems_{problems} {}

    Tree take() { return std::move(root_); }
    std::optional<Mark> last_quoted() const { return last_quoted_; }

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        check_anchor(mark, anchor);
        add(begin(Tree::Kind::empty, mark));
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        report(to_mark(mark), "aliases are not supported, write the value out");
        add(begin(Tree::Kind::refused, mark));
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check_anchor(mark, anchor);
        // "?" is a plain scalar, "!" a quoted one; anything else the operator wrote.
        if (tag != "?" && tag != "!" && !tag.empty()) report(to_mark(mark), "tags are not supported, remove it");
        if (tag == "!") last_quoted_ = to_mark(mark);
        Tree text = begin(Tree::Kind::text, mark);
        text.text = value;
        add(std::move(text));
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(Tree::Kind::list, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(Tree::Kind::map, mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

private:
    struct Level {
        Tree tree;
        bool has_key = false;
        bool duplicate = false;  // the coming value belongs to a key that was seen before: dropped
        std::string key;
        Mark key_mark{};
        std::map<std::string, int> lines;  // of the keys so far
    };

    Tree begin(Tree::Kind kind, const YAML::Mark& mark) {
        if (++values_ > values_limit) give_up(to_mark(mark), "too many values, at most 50000 are read");
        Tree tree;
        tree.kind = kind;
        tree.mark = to_mark(mark);
        return tree;
    }

    void open(Tree::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        check_anchor(mark, anchor);
        if (tag != "?" && tag != "!" && !tag.empty()) report(to_mark(mark), "tags are not supported, remove it");
        if (wants_key()) give_up(to_mark(mark), "want a text as key, found a list or a map");
        if (levels_.size() >= depth_limit) give_up(to_mark(mark), "nested too deeply, at most 16 levels are read");
        levels_.emplace_back().tree = begin(kind, mark);
    }

    void close() {
        Tree done = std::move(levels_.back().tree);
        levels_.pop_back();
        add(std::move(done));
    }

    bool wants_key() const {
        return !levels_.empty() && levels_.back().tree.kind == Tree::Kind::map && !levels_.back().has_key;
    }

    void add(Tree tree) {
        if (levels_.empty()) {
            root_ = std::move(tree);
        } else if (wants_key()) {
            key(tree);
        } else {
            Level& level = levels_.back();
            tree.key = std::move(level.key);
            tree.key_mark = level.key_mark;
            if (tree.kind == Tree::Kind::empty) tree.mark = tree.key_mark;  // yaml-cpp gives the next token's place
            if (!level.duplicate) level.tree.items.push_back(std::move(tree));
            level.has_key = false;
        }
    }

    void key(Tree& name) {
        Level& level = levels_.back();
        if (name.kind == Tree::Kind::refused) throw GiveUp{};
        if (name.kind != Tree::Kind::text) give_up(name.mark, "want a text as key, found nothing");
        const auto [first, is_new] = level.lines.emplace(name.text, name.mark.line);
        level.duplicate = !is_new;
        if (level.duplicate)
            report(name.mark, "duplicate key, first written in line " + std::to_string(first->second),
                   path_of(name.text));
        level.has_key = true;
        level.key = std::move(name.text);
        level.key_mark = name.mark;
    }

    std::string path_of(const std::string& last) const {
        std::string path;
        for (std::size_t i = 0; i + 1 < levels_.size(); ++i) {
            const Level& level = levels_[i];
            if (level.tree.kind == Tree::Kind::list)
                path += '[' + std::to_string(level.tree.items.size()) + ']';
            else
                path += (path.empty() ? "" : ".") + level.key;
        }
        return path + (path.empty() ? "" : ".") + last;
    }

    void check_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor != 0) report(to_mark(mark), "anchors are not supported, remove it");
    }

    void report(Mark mark, std::string what, std::string path = {}) {
        problems_.push_back({Severity::error, mark, std::move(path), std::move(what)});
        if (problems_.size() >= problems_limit) throw GiveUp{};
    }

    [[noreturn]] void give_up(Mark mark, std::string what) {
        problems_.push_back({Severity::error, mark, {}, std::move(what)});
        throw GiveUp{};
    }

    Problems& problems_;
    Tree root_;
    std::optional<Mark> last_quoted_;
    std::vector<Level> levels_;
    std::size_t values_ = 0;
};

}  // namespace

Tree read_tree(std::string_view yaml, Problems& problems) {
    const auto refuse = [&](Mark mark, std::string what) {
        problems.push_back({Severity::error, mark, {}, std::move(what)});
        Tree refused;
        refused.kind = Tree::Kind::refused;
        return refused;
    };
    if (yaml.size() > bytes_limit)
        return refuse({}, "the file is too large: want at most 1 MiB, found " + std::to_string(yaml.size()) + " bytes");

    if (auto problem = unreadable_byte(yaml)) return refuse(problem->mark, std::move(problem->what));

    Builder builder{problems};
    try {
        TextBuffer buffer{yaml};
        std::istream stream{&buffer};
        YAML::Parser parser{stream};
        if (parser.HandleNextDocument(builder)) {
            Tree root = builder.take();
            // yaml-cpp takes the end of the file for the end of a text: half a file would pass for a whole one.
            if (const auto quoted = builder.last_quoted()) {
                const auto text = rest_of(yaml, *quoted);
                if ((text.starts_with('"') || text.starts_with('\'')) && !is_closed(text))
                    return refuse(*quoted,
                                  std::string{"want a closing "} + text.front() + ", found the end of the file");
            }
            Builder rest{problems};
            if (parser.HandleNextDocument(rest))
                return refuse(rest.take().mark, "want one YAML document, found a second");
            if (root.kind != Tree::Kind::empty) return root;
        }
    } catch (const GiveUp&) {
        Tree refused;
        refused.kind = Tree::Kind::refused;
        return refused;
    } catch (const YAML::Exception& error) {
        const Mark mark = error.mark.is_null() ? Mark{} : to_mark(error.mark);
        if (is_indented_by_tab(yaml, mark)) return refuse({mark.line, 1}, "want spaces as indentation, found a tab");
        return refuse(mark, "not valid YAML: " + error.msg);
    } catch (const std::exception& error) {
        return refuse({}, std::string{"not readable as YAML: "} + error.what());
    }
    Tree nothing;
    nothing.kind = Tree::Kind::map;
    nothing.mark = {1, 1};
    return nothing;
}

}  // namespace nearhop::conf
