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
            break;
    }
    error(std::move(what));
}

bool Field::missing(const std::string& wanted) const {
    if (listing() || written()) return false;
    error("is missing: want " + wanted);
    return true;
}

void Field::list(std::string wanted, std::string default_value, bool is_fixed, std::string schema) const {
    if (!listing()) return;
    if (default_value.empty()) default_value = "none";
    reader_->keys.push_back({path_.pattern, std::move(wanted), std::move(default_value), is_fixed, std::move(schema)});
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
            what += "; want a blank behind the colon";
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
