#include "conf/sections.h"

/// What each named check of a health body is good for.
namespace nearhop::conf {
namespace {

constexpr std::size_t most_checks = 16;  // health keeps those that fail in one machine word
constexpr std::size_t most_paths = 16;   // looked through per request while the check fails
constexpr std::size_t most_bounds = 8;

Need need_of(const std::string& word) {
    if (word == "degraded") return Need::degraded;
    if (word == "writes") return Need::writes;
    return word == "down" ? Need::down : Need::note;
}

/// A word, a path or a list of paths.
void read_needs(const Field& field, Check& check) {
    if (field.is(Tree::Kind::list)) {
        check.need = Need::paths;
        field.into_list(check.paths, path_pattern(), 1);
    } else if (std::string text; field.into(text, need_or_path())) {
        check.need = text.starts_with('/') ? Need::paths : need_of(text);
        if (check.need == Need::paths) check.paths = {text};
    }
    if (check.paths.size() > most_paths)
        field.error("want at most 16 paths, found " + std::to_string(check.paths.size()));
}

void read_check_map(Keys& keys, Check& check) {
    const Field needs = keys.at("needs");
    needs.list(need_or_path().wanted, "required", false, schema::list_of(need_or_path().schema, 1));
    if (!needs.missing(need_or_path().wanted)) read_needs(needs, check);
    const Field max = keys.at("max");
    max.list("a map of the names of numbers to their bounds", "none");
    max.entries("a map of the names of numbers to their bounds", "KEY", [&](const std::string& name, const Field& own) {
        own.list(bound().wanted, "required", false, bound().schema);
        double value = 0;
        if (own.into(value, bound())) check.max.emplace_back(name, value);
    });
    if (check.max.size() > most_bounds) max.error("want at most 8 bounds, found " + std::to_string(check.max.size()));
}

}  // namespace

void read_checks(Keys& probe, std::vector<Check>& checks) {
    const Field field = probe.at("checks");
    const std::string wanted = "a map of the names of checks to what needs them";
    field.list(wanted, "none");
    if (field.written()) checks.clear();
    field.entries(wanted, "KEY", [&](const std::string& name, const Field& entry) {
        Check check;
        check.name = name;
        entry.list(need_or_path().wanted + ", or a map with needs", "required", false,
                   schema::list_of(need_or_path().schema, 1));
        if (name.empty() || name.size() > 64)
            entry.error_at(entry.key_mark(), "want a check's name of 1 to 64 characters");
        if (entry.is(Tree::Kind::map) || entry.listing())
            entry.map([&](Keys& keys) { read_check_map(keys, check); });
        else
            read_needs(entry, check);
        if (!entry.listing()) checks.push_back(std::move(check));
    });
    if (checks.size() > most_checks) field.error("want at most 16 checks, found " + std::to_string(checks.size()));
}

}  // namespace nearhop::conf
