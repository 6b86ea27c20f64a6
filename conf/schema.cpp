#include "conf/schema.h"

namespace nearhop::conf::schema {

std::string matching(std::string_view pattern) {
    return R"("type": "string", "pattern": ")" + std::string{pattern} + '"';
}

std::string integers(const std::string& min, const std::string& max) {
    return R"("type": "integer", "minimum": )" + min + R"(, "maximum": )" + max;
}

std::string words(const std::vector<std::string>& names) {
    std::string all;
    for (const std::string& name : names) {
        all += (all.empty() ? "\"" : ", \"") + name + '"';
        if (name.find_first_not_of("0123456789.") == std::string::npos) all += ", " + name;
    }
    return R"("enum": [)" + all + ']';
}

std::string list_of(std::string_view item, std::size_t at_least) {
    const std::string one = '{' + std::string{item} + '}';
    return R"("anyOf": [)" + one + R"(, {"type": "array", "items": )" + one + R"(, "minItems": )" +
           std::to_string(at_least) + R"(, "uniqueItems": true}])";
}

}  // namespace nearhop::conf::schema
