#include "tests/conf/schema_text.h"

#include "conf/known_keys.h"
#include "tests/conf/reference.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace nearhop::conf {
namespace {

/// One key with the keys below it. `sites.NAME.routes[].path` is a property, any name, a property, an item, a property.
struct Shape {
    std::string name;  ///< of a property
    std::string path;
    const KeyInfo* info = nullptr;
    std::vector<Shape> properties{};  ///< in the parser's order
    std::vector<Shape> any_name{};    ///< one at most: what an operator's own word holds
    std::vector<Shape> item{};        ///< one at most
};

bool is_placeholder(std::string_view word) { return word == "NAME" || word == "GROUP" || word == "KEY"; }

Shape& only(std::vector<Shape>& one, const std::string& name, const std::string& path) {
    if (one.empty()) one.push_back({name, path});
    return one.front();
}

Shape& property(Shape& of, const std::string& name, const std::string& path) {
    for (Shape& shape : of.properties)
        if (shape.name == name) return shape;
    of.properties.push_back({name, path});
    return of.properties.back();
}

Shape& shape_of(Shape& root, const std::string& path) {
    Shape* at = &root;
    for (std::size_t from = 0; from <= path.size();) {
        const auto end = std::min(path.find('.', from), path.size());
        std::string word = path.substr(from, end - from);
        const bool is_item = word.ends_with("[]");
        if (is_item) word.resize(word.size() - 2);
        const std::string here = path.substr(0, from) + word;
        at = is_placeholder(word) ? &only(at->any_name, word, here) : &property(*at, word, here);
        if (is_item) at = &only(at->item, "[]", here + "[]");
        from = end + 1;
    }
    return *at;
}

std::string in_quotes(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        result += c;
    }
    return result + '"';
}

class Writer {
public:
    explicit Writer(Reference reference) : reference_{std::move(reference)} {}

    std::string document(const Shape& root) {
        return "{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
               "  \"title\": \"Nearhop's configuration\",\n"
               "  \"$comment\": \"Made by ./dev schema from the parser and docs/configuration.md\",\n"
               "  \"oneOf\": [{\"required\": [\"listen\"]}, {\"required\": [\"listeners\"]}],\n  " +
               structure(root, 1) + "\n}\n";
    }

private:
    static std::string indent(std::size_t depth) { return '\n' + std::string(2 * depth, ' '); }

    static bool is_required(const Shape& shape) {
        if (shape.info)
            return shape.info->default_value.starts_with("required") &&
                   (shape.info->default_value.size() == 8 || shape.info->default_value.starts_with("required in"));
        return !shape.any_name.empty() && shape.any_name[0].info && is_required(shape.any_name[0]);
    }

    /// What a map or list holds, as members.
    std::string structure(const Shape& shape, std::size_t depth) {
        if (!shape.item.empty()) {
            const Shape& item = shape.item.front();
            std::string one = '{' + structure(item, depth) + '}';
            // What a list of maps says of itself is the short form of one item.
            if (shape.info && !shape.info->schema.empty())
                one = "{\"anyOf\": [{" + shape.info->schema + "}, " + one + "]}";
            return "\"type\": \"array\", \"items\": " + one;
        }
        if (!shape.any_name.empty())
            return "\"type\": \"object\", \"minProperties\": 1, \"additionalProperties\": {" +
                   members(shape.any_name.front(), depth) + '}';
        std::string text = "\"type\": \"object\", \"additionalProperties\": false,";
        std::string required;
        for (const Shape& key : shape.properties)
            if (is_required(key)) required += (required.empty() ? "" : ", ") + in_quotes(key.name);
        if (!required.empty()) text += " \"required\": [" + required + "],";
        text += indent(depth) + "\"properties\": {";
        for (const Shape& key : shape.properties)
            text += (&key == &shape.properties.front() ? "" : ",") + indent(depth + 1) + in_quotes(key.name) + ": {" +
                    members(key, depth + 2) + '}';
        return text + indent(depth) + '}';
    }

    std::string members(const Shape& shape, std::size_t depth) {
        const bool is_leaf = shape.properties.empty() && shape.any_name.empty() && shape.item.empty();
        std::string text = description(shape);
        // Draft 7 ignores what stands beside a reference.
        if (is_leaf && shape.info->schema.starts_with("\"$ref\""))
            return text + "\"allOf\": [{" + shape.info->schema + "}]";
        if (is_leaf) return text + shape.info->schema;
        if (shape.path == "sites") return text + sites(shape, depth);
        if (shape.info && !shape.info->schema.empty() && shape.item.empty())
            return text + "\"anyOf\": [{" + shape.info->schema + "}, {" + structure(shape, depth) + "}]";
        return text + structure(shape, depth);
    }

    /// The one key whose maps may stand in a list as well, each with its name inside.
    std::string sites(const Shape& shape, std::size_t depth) {
        const std::string site = "{\"$ref\": \"#/properties/sites/definitions/site\"}";
        const std::string named = R"({"required": ["name"]})";
        return "\"anyOf\": [" + indent(depth) +
               R"({"type": "object", "minProperties": 1, "additionalProperties": {"allOf": [)" + site +
               R"(, {"not": )" + named + "}]}}," + indent(depth) +
               R"({"type": "array", "minItems": 1, "items": {"allOf": [)" + site + ", " + named + "]}}]," +
               indent(depth) + "\"definitions\": {\"site\": {" + structure(shape.any_name.front(), depth) + "}}";
    }

    std::string description(const Shape& shape) {
        if (!shape.info) return {};
        const KeyInfo& key = *shape.info;
        const auto row = reference_.rows.find(key.path);
        std::string words = key.wanted + '.';
        if (row != reference_.rows.end() && row->second.size() == 4 && !row->second[3].empty())
            words += ' ' + row->second[3];
        const bool is_required_word = key.default_value.starts_with("required");
        words += is_required_word ? " R" + key.default_value.substr(1) + '.' : " Default: " + key.shown_default() + '.';
        std::string text = "\"description\": " + in_quotes(words) + ", ";
        if (!key.is_fixed) return text;
        const bool is_plain =
            key.schema.find("\"integer\"") != std::string::npos || key.schema.find("\"boolean\"") != std::string::npos;
        const bool is_raw = is_plain && (key.default_value.find_first_not_of("0123456789") == std::string::npos ||
                                         key.default_value == "true" || key.default_value == "false");
        return text + "\"default\": " + (is_raw ? key.default_value : in_quotes(key.default_value)) + ", ";
    }

    Reference reference_;
};

}  // namespace

std::string schema_text(const std::string& source_folder) {
    const auto keys = known_keys();
    Shape root;
    for (const KeyInfo& key : keys) shape_of(root, key.path).info = &key;
    return Writer{read_reference(source_folder)}.document(root);
}

}  // namespace nearhop::conf
