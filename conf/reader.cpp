#include "conf/reader.h"

#include "conf/parse.h"
#include "conf/syntax.h"

#include <algorithm>
#include <filesystem>

namespace nearhop::conf {

void Reader::report(Severity severity, Mark mark, std::string path, std::string what) {
    if (!listing) problems.push_back({severity, mark, std::move(path), std::move(what)});
}

KeyPath KeyPath::child(std::string_view key) const { return named(key, key); }

KeyPath KeyPath::named(std::string_view name, std::string_view placeholder) const {
    const std::string dot = exact.empty() ? "" : ".";
    std::string shown_name{name.substr(0, 64)};  // an operator's name may be anything, a message is one line
    for (char& c : shown_name)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return {exact + dot + shown_name, pattern + dot + std::string{placeholder}};
}

KeyPath KeyPath::item(std::size_t index) const { return {exact + '[' + std::to_string(index) + ']', pattern + "[]"}; }

const Tree& Field::absent_tree() {
    static const Tree absent;
    return absent;
}

void Field::error(std::string what) const { error_at(mark(), std::move(what)); }
void Field::error_at(Mark where, std::string what) const {
    reader_->report(Severity::error, where, path(), std::move(what));
}
void Field::warning(std::string what) const { reader_->report(Severity::warning, mark(), path(), std::move(what)); }

namespace {

constexpr std::string_view digits = "0123456789";

/// Of an address with a port that no port can be; empty: it is not that.
std::string broken_port(std::string_view text) {
    const auto before = text.find_last_not_of(digits);
    if (before == text.npos || text[before] != ':' || before + 1 == text.size()) return {};
    const auto port = text.substr(before + 1);
    const bool zero = port.find_first_not_of('0') == port.npos;
    const bool large = port.size() > 5 || (port.size() == 5 && port > "65535");
    return zero || large ? "; a port is from 1 to 65535" : "";
}

/// The rule that a number breaks whose kind is right; empty: none of these.
std::string broken_rule(std::string_view text) {
    const auto whole = text.find_first_not_of(digits);
    if (whole == 0 || whole == text.npos) return {};
    const std::string_view rest = text.substr(whole);
    const auto fraction = rest.find_first_not_of(digits, 1);
    if ((rest[0] == '.' || rest[0] == ',') && fraction != 1) {
        const bool time = rest.ends_with('s') || rest.ends_with('m') || rest.ends_with('h');
        return std::string{"; whole numbers only"} + (time ? ", such as 1500ms for 1.5s" : "");
    }
    if (rest[0] == ' ') return "; no blank before the unit";
    if (rest.find_first_of(digits) != rest.npos && rest.find_first_not_of("0123456789hms") == rest.npos)
        return "; one number and one unit, such as 90m for 1h30m";
    return {};
}

}  // namespace

void Field::mismatch(const std::string& wanted, const std::vector<std::string>& known, bool secret) const {
    std::string what = "want " + wanted + ", found ";
    switch (tree_->kind) {
        case Tree::Kind::refused: return;  // was reported when the document was read
        case Tree::Kind::absent:
        case Tree::Kind::empty: what += "nothing"; break;
        case Tree::Kind::list: what += tree_->items.empty() ? "an empty list" : "a list"; break;
        case Tree::Kind::map: what += tree_->items.empty() ? "an empty map" : "a map"; break;
        case Tree::Kind::text:
            what += secret ? "something else" : shown(tree_->text);
            if (const std::string near = near_miss(tree_->text, known); !near.empty())
                what += "; did you mean \"" + near + "\"?";
            else if (const bool number = wanted.find("a duration") != wanted.npos || wanted.starts_with("a size") ||
                                         wanted.starts_with("a whole number") || wanted.starts_with("percent");
                     number && !secret)
                what += broken_rule(tree_->text);
            else if (wanted.find("PORT") != wanted.npos || wanted.find("a port") != wanted.npos)
                what += broken_port(tree_->text);
            break;
    }
    error(std::move(what));
}

bool Field::missing(const std::string& wanted) const {
    if (listing() || written()) return false;
    error("is missing: want " + wanted);
    return true;
}

void Field::list(std::string wanted, std::string default_value, bool is_fixed, std::string schema,
                 std::string effect) const {
    if (!listing()) return;
    if (default_value.empty()) default_value = "none";
    reader_->keys.push_back(
        {path_.pattern, std::move(wanted), std::move(default_value), is_fixed, std::move(schema), std::move(effect)});
}

void Field::note_value(std::string text) const {
    reader_->values.push_back({path_.exact, path_.pattern, std::move(text)});
}

void Field::note_list(const std::vector<std::string>& texts) const {
    std::string all;
    for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
    note_value(texts.empty() ? "none" : all);
}

bool Field::is_list_of(const std::string& wanted, std::size_t at_least) const {
    if (is(Tree::Kind::list) && tree_->items.size() >= at_least) return true;
    mismatch("a list: " + wanted);
    return false;
}

bool Field::is_map_of(const std::string& wanted) const {
    if (is(Tree::Kind::map)) return true;
    mismatch(wanted);
    return false;
}

bool Field::is_new(const std::string& text, std::set<std::string>& seen) const {
    if (seen.insert(text).second) return true;
    error("is listed twice: " + shown(text));
    return false;
}

Field Keys::at(std::string_view key) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
    const Tree* tree = field_.tree_->find(key);
    return {*field_.reader_, tree ? *tree : Field::absent_tree(), field_.path_.child(key), field_.mark()};
}

bool Keys::file(std::string_view key, At<std::string>& slot, const std::string& otherwise) {
    if (!value(key, slot, file_name(), otherwise)) return false;
    slot.value = resolved(field_.reader(), slot.value);
    return true;
}

std::string before_colon(std::string_view key) { return std::string{key.substr(0, key.find(':'))}; }

void Keys::report_unknown() const {
    if (field_.listing()) return;
    for (const Tree& item : field_.tree_->items) {
        if (std::find(known_.begin(), known_.end(), item.key) != known_.end()) continue;
        const std::string key = before_colon(item.key);
        std::string what = "unknown key";
        if (key.size() < item.key.size()) {
            what += "; want a blank after the colon";
        } else if (const std::string near = near_miss(item.key, known_); !near.empty()) {
            what += "; did you mean \"" + near + "\"?";
        } else {
            what += "; known here:";
            for (const std::string& name : known_) what += (name == known_.front() ? " " : ", ") + name;
        }
        field_.reader().report(Severity::error, item.key_mark, field_.path_.child(key).exact, std::move(what));
    }
}

std::string resolved(const Reader& reader, const std::string& name) {
    return (std::filesystem::path{reader.folder} / name).lexically_normal().string();
}

}  // namespace nearhop::conf
