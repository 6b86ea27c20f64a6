#pragma once

#include "conf/config.h"
#include "conf/forms.h"
#include "conf/known_keys.h"
#include "conf/tree.h"

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Typed access to a Tree. A caller asks for a key by name and form. The reader reports what is wrong, keeps the marks,
/// finds the keys that no caller asked for, and lists the others.
namespace nearhop::conf {

/// One run over one document.
struct Reader {
    bool listing = false;  ///< over nothing: every section, list and map is entered once, only `keys` is filled
    std::string folder{};  ///< where relative file names start
    Problems problems{};
    std::vector<KeyInfo> keys{};
    std::vector<WrittenValue> values{};

    void report(Severity severity, Mark mark, std::string path, std::string what);
};

/// Where a value stands: with the operator's names, and with the reference's placeholders.
struct KeyPath {
    std::string exact;
    std::string pattern;

    KeyPath child(std::string_view key) const;
    KeyPath named(std::string_view name, std::string_view placeholder) const;
    KeyPath item(std::size_t index) const;
};

/// What a slot of the configuration holds: T itself, At<T>, or an optional of either.
template <class T>
const T* current(const T& slot) {
    return &slot;
}
template <class T>
const T* current(const At<T>& slot) {
    return &slot.value;
}
template <class T>
auto current(const std::optional<T>& slot) -> decltype(current(*slot)) {
    return slot ? current(*slot) : nullptr;
}

template <class T>
void store(T& slot, T value, Mark, const std::string&) {
    slot = std::move(value);
}
template <class T>
void store(At<T>& slot, T value, Mark mark, const std::string& path) {
    slot = At<T>{std::move(value), mark, path};
}
template <class T>
void store(std::optional<T>& slot, T value, Mark, const std::string&) {
    slot = std::move(value);
}
template <class T>
void store(std::optional<At<T>>& slot, T value, Mark mark, const std::string& path) {
    slot = At<T>{std::move(value), mark, path};
}

/// The part of a key before a colon without a blank: the rest may be a value, and a secret one.
std::string before_colon(std::string_view key);

class Keys;

/// One value of the file, or the place where it would stand.
class Field {
public:
    Field(Reader& reader, const Tree& tree, KeyPath path, Mark around)
        : reader_{&reader}, tree_{&tree}, path_{std::move(path)}, around_{around} {}

    bool written() const { return tree_->kind != Tree::Kind::absent; }
    bool is(Tree::Kind kind) const { return tree_->kind == kind; }
    /// `off` and its like, quoted (JSON is YAML) or not.
    bool is_word(std::string_view word) const { return tree_->kind == Tree::Kind::text && tree_->text == word; }
    const std::string& text() const { return tree_->text; }  ///< of Tree::Kind::text
    Mark mark() const { return written() ? tree_->mark : around_; }
    Mark key_mark() const { return tree_->key_mark.line > 0 ? tree_->key_mark : mark(); }
    const std::string& path() const { return path_.exact; }
    Reader& reader() const { return *reader_; }
    bool listing() const { return reader_->listing; }

    void error(std::string what) const;
    void error_at(Mark where, std::string what) const;
    void warning(std::string what) const;
    /// "want ..., found ...; did you mean ...?"
    void mismatch(const std::string& wanted, const std::vector<std::string>& known = {}, bool secret = false) const;
    /// Lists this key for the reference.
    void list(std::string wanted, std::string default_value, bool is_fixed = false, std::string schema = {},
              std::string effect = {}) const;
    void note_value(std::string text) const;
    /// Reports a value that must be written and is not.
    bool missing(const std::string& wanted) const;

    /// The value in `form`, or nothing after reporting why not.
    template <class T>
    std::optional<T> read(const Form<T>& form) const {
        if (is(Tree::Kind::text))
            if (auto value = form.read(tree_->text)) return value;
        mismatch(form.wanted, form.known, form.secret);
        return std::nullopt;
    }

    /// Reads into a slot. False when there is nothing or something wrong.
    template <class T, class Slot>
    bool into(Slot& slot, const Form<T>& form) const {
        if (listing() || !written()) return false;
        auto value = read(form);
        if (!value) return false;
        note_value(form.secret ? "(secret)" : form.print(*value));
        store(slot, std::move(*value), mark(), path());
        return true;
    }

    /// A list of values in `form`; a single value is a list of one. An item twice is reported.
    template <class T, class Slot>
    bool into_list(std::vector<Slot>& slots, const Form<T>& form, std::size_t at_least) const {
        if (listing() || !written()) return false;
        std::vector<Slot> result;
        std::vector<std::string> texts;
        std::set<std::string> seen;
        bool good = true;
        const auto add = [&](const Field& item) {
            auto value = item.read(form);
            good = good && value;
            if (!value) return;
            texts.push_back(form.print(*value));
            good = item.is_new(texts.back(), seen) && good;
            store(result.emplace_back(), std::move(*value), item.mark(), item.path());
        };
        if (is(Tree::Kind::text)) {
            add(*this);
        } else if (!is_list_of(form.wanted, at_least)) {
            return false;
        } else {
            each_item(add);
        }
        if (!good) return false;
        note_list(texts);
        slots = std::move(result);
        return true;
    }

    /// Calls `use(Field)` for every item of a list; in a listing once.
    template <class Use>
    void items(const std::string& wanted, Use use) const {
        if (!listing() && !(written() && is_list_of(wanted, 0))) return;
        if (!listing() && tree_->items.empty()) note_list({});
        each_item(use);
    }

    /// Calls `use(name, Field)` for every key of a map with the operator's own names; in a listing once.
    template <class Use>
    void entries(const std::string& wanted, std::string_view placeholder, Use use) const {
        if (!listing() && !(written() && is_map_of(wanted))) return;
        if (listing())
            return use(std::string{placeholder}, entry(absent_tree(), std::string{placeholder}, placeholder));
        for (const Tree& item : tree_->items) use(item.key, entry(item, item.key, placeholder));
    }

    /// The same for values that no message may show, nor what an operator wrote in their place by mistake.
    template <class Use>
    void secret_entries(const std::string& wanted, std::string_view placeholder, Use use) const {
        if (listing()) return entries(wanted, placeholder, use);
        if (!written()) return;
        if (!is(Tree::Kind::map)) return mismatch(wanted, {}, true);
        for (const Tree& item : tree_->items) use(item.key, entry(item, before_colon(item.key), placeholder));
    }

    /// Calls `use(Keys&)` for a map with known keys, then reports the unknown ones; in a listing once.
    template <class Use>
    void map(Use use) const;

private:
    friend class Keys;

    static const Tree& absent_tree();
    Field entry(const Tree& tree, const std::string& name, std::string_view placeholder) const {
        return {*reader_, tree, path_.named(name, placeholder), mark()};
    }
    bool is_list_of(const std::string& wanted, std::size_t at_least) const;
    bool is_map_of(const std::string& wanted) const;
    bool is_new(const std::string& text, std::set<std::string>& seen) const;
    void note_list(const std::vector<std::string>& texts) const;

    template <class Use>
    void each_item(Use use) const {
        if (listing()) return use(Field{*reader_, absent_tree(), path_.item(0), mark()});
        for (std::size_t i = 0; i < tree_->items.size(); ++i)
            use(Field{*reader_, tree_->items[i], path_.item(i), mark()});
    }

    Reader* reader_;
    const Tree* tree_;
    KeyPath path_;
    Mark around_;  ///< of the map or list that holds it, for what is missing
};

/// The known keys of one map.
class Keys {
public:
    explicit Keys(Field field) : field_{std::move(field)} {}

    const Field& field() const { return field_; }

    /// The value of `key`, which is known from now on. The caller lists it, or goes on to its keys.
    Field at(std::string_view key);

    /// A single value. `otherwise` is the reference's phrase for a default that is not a fixed value; `effect` says
    /// what a fixed one does ("unlimited", for 0).
    template <class T, class Slot>
    bool value(std::string_view key, Slot& slot, const Form<T>& form, const std::string& otherwise = {},
               const std::string& effect = {}) {
        const Field field = at(key);
        if (field.listing()) {
            const T* standing = current(slot);
            const std::string text = standing ? form.print(*standing) : std::string{};
            const bool is_fixed = otherwise.empty() && !text.empty();
            field.list(form.wanted, is_fixed ? text : otherwise, is_fixed, form.schema, is_fixed ? effect : "");
        }
        return field.into(slot, form);
    }
    /// The same for a fixed default whose effect its value does not say.
    template <class T, class Slot>
    bool value_with(std::string_view key, Slot& slot, const Form<T>& form, const std::string& effect) {
        return value(key, slot, form, {}, effect);
    }

    /// A value without which its map means nothing.
    template <class T, class Slot>
    bool required(std::string_view key, Slot& slot, const Form<T>& form) {
        if (at(key).missing(form.wanted)) return false;
        return value(key, slot, form, "required");
    }

    template <class T, class Slot>
    bool list(std::string_view key, std::vector<Slot>& slots, const Form<T>& form, std::size_t at_least,
              std::string otherwise = {}) {
        const Field field = at(key);
        if (field.listing()) {
            const bool is_fixed = otherwise.empty() && !slots.empty();
            if (is_fixed)
                for (const Slot& slot : slots)
                    otherwise += (otherwise.empty() ? "" : ", ") + form.print(*current(slot));
            field.list("a list: " + form.wanted, std::move(otherwise), is_fixed,
                       schema::list_of(form.schema, at_least));
        }
        return field.into_list(slots, form, at_least);
    }

    /// A file's name, made absolute or relative to the working directory like the configuration file's own.
    bool file(std::string_view key, At<std::string>& slot, const std::string& otherwise = {});

    template <class Use>
    void section(std::string_view key, Use use) {
        const Field field = at(key);
        if (field.written() || field.listing()) field.map(use);
    }

    void report_unknown() const;

private:
    Field field_;
    std::vector<std::string> known_{};
};

template <class Use>
void Field::map(Use use) const {
    if (!listing() && !is_map_of("a map")) return;
    Keys keys{*this};
    use(keys);
    keys.report_unknown();
}

/// A file's name as the process can open it.
std::string resolved(const Reader& reader, const std::string& name);

}  // namespace nearhop::conf
