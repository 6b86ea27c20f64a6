#pragma once

#include "conf/schema.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// What a form is, and helpers that build most of them.
namespace nearhop::conf {

/// The syntax of a value: the check, the phrase for messages and the reference, and the way back to text for
/// printing a default. One form serves every key of its kind.
template <class T>
struct Form {
    std::string wanted;  ///< completes "want ...", e.g. "a duration with its unit from 1ms to 1h"
    std::function<std::optional<T>(const std::string&)> read;
    std::function<std::string(const T&)> print;
    std::vector<std::string> known{};  ///< for "did you mean"
    bool secret = false;               ///< messages do not repeat the found value
    std::string schema{schema::text};  ///< the same for editors; may be looser than `read`, never tighter
};

/// The same form with another schema.
template <class T>
Form<T> with(std::string schema, Form<T> form) {
    form.schema = std::move(schema);
    return form;
}

template <class T>
std::string decimal(const T& value) {
    return std::to_string(value);
}

inline std::string itself(const std::string& text) { return text; }

/// A form whose value is the text itself, as it is.
template <class Check>
Form<std::string> text_that(std::string wanted, const Check& check) {
    return {std::move(wanted),
            [check](const std::string& text) { return check(text) ? std::optional{text} : std::nullopt; }, itself};
}

/// One of these words.
template <class T>
Form<T> choice(const std::vector<std::pair<std::string, T>>& values) {
    Form<T> form;
    for (const auto& [name, value] : values) {
        form.wanted += (form.wanted.empty() ? "" : " or ") + name;
        form.known.push_back(name);
    }
    form.read = [values](const std::string& text) -> std::optional<T> {
        for (const auto& [name, value] : values)
            if (name == text) return value;
        return std::nullopt;
    };
    form.print = [values](const T& wanted) {
        for (const auto& [name, value] : values)
            if (value == wanted) return name;
        return std::string{};
    };
    form.schema = schema::words(form.known);
    return form;
}

}  // namespace nearhop::conf
