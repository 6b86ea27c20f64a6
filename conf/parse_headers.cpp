#include "conf/sections.h"
#include "conf/syntax.h"

#include <set>

/// Fields that the edge writes into requests, and secrets: in the configuration itself, or in a file or a variable that
/// it names.
namespace nearhop::conf {
namespace {

constexpr std::size_t most_fields = 16;  // with their longest values they fit into one buffer beside a head

std::string secret_schema(std::size_t least) {
    const std::string text = std::string{schema::text} + R"(, "minLength": )" + std::to_string(least);
    return R"("anyOf": [{)" + text +
           R"(}, {"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1, )"
           R"("properties": {"file": {)" +
           file_name().schema + R"(}, "env": {)" + schema::matching("^[A-Za-z_][A-Za-z0-9_]{0,255}$") + "}}}]";
}

void read_source(Keys& keys, Secret& secret) {
    At<std::string> file;
    if (keys.file("file", file)) secret.file = *file;
    keys.value("env", secret.variable, variable_name());
    if (keys.at("file").written() == keys.at("env").written())
        keys.field().error("want file or env, found " + std::string{keys.at("file").written() ? "both" : "neither"});
}

std::string fields_wanted() { return "a map of names of header fields to their values"; }

void read_field(const std::string& name, const Field& field, std::vector<HeaderField>& fields) {
    const Form<std::string> form = request_field_name();
    if (!field.listing() && !form.read(name)) return field.error_at(field.key_mark(), "want " + form.wanted);
    HeaderField made{name, {}};
    if (read_secret(field, made.value, 1, "required")) fields.push_back(std::move(made));
}

}  // namespace

bool read_secret(const Field& field, Secret& secret, std::size_t least, std::string otherwise) {
    field.list(secret_wanted(least), std::move(otherwise), false, secret_schema(least));
    if (field.listing() || !field.written()) return false;
    secret = {};
    secret.least = least;
    secret.mark = field.mark();
    secret.path = field.path();
    if (field.is(Tree::Kind::text)) {
        const std::string& text = field.text();
        if (auto problem = secret_problem(text, least); !problem.empty()) {
            field.error(std::move(problem));
            return false;
        }
        secret.value = text;
    } else if (field.is(Tree::Kind::map)) {
        field.map([&](Keys& keys) { read_source(keys, secret); });
    } else {
        field.mismatch(secret_wanted(least), {}, true);
    }
    if (secret.given()) field.note_value("(secret)");
    return secret.given();
}

void read_header_fields(Keys& keys, std::string_view key, std::vector<HeaderField>& fields) {
    const Field field = keys.at(key);
    field.list(fields_wanted(), "none");
    if (field.is(Tree::Kind::text)) return field.mismatch(fields_wanted(), {}, true);  // "Name:secret", without a blank
    if (field.written()) fields.clear();
    std::set<std::string> seen;
    field.secret_entries(fields_wanted(), "KEY", [&](const std::string& name, const Field& entry) {
        const auto id = folded(name);
        if (!seen.insert(id).second) entry.error_at(entry.key_mark(), "is a second field of this name");
        read_field(name, entry, fields);
    });
    if (fields.size() > most_fields) field.error("want at most 16 fields, found " + std::to_string(fields.size()));
}

void read_origin_headers(Keys& origin, OriginHeaders& headers) {
    const Field field = origin.at("headers");
    if (field.is(Tree::Kind::text)) return field.mismatch("a map with set and remove", {}, true);
    origin.section("headers", [&](Keys& keys) {
        read_header_fields(keys, "set", headers.set);
        keys.list("remove", headers.removed, request_field_name(), 1, "none");
        if (headers.removed.size() > most_fields)
            keys.at("remove").error("want at most 16 names, found " + std::to_string(headers.removed.size()));
        for (const HeaderField& set : headers.set)
            for (const std::string& removed : headers.removed)
                if (folded(set.name) == folded(removed))
                    keys.at("remove").warning("has no effect on " + shown(removed) +
                                              ": set replaces what clients send");
    });
}

}  // namespace nearhop::conf
