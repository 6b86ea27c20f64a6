#pragma once

#include <string>
#include <vector>

namespace nearhop::conf {

/// A position in a configuration file, 1-based; {0, 0}: the value was not written, its default applies.
struct Mark {
    int line = 0;
    int column = 0;
};

/// A configured value with its position in the file, so that a later pass (certificates, regions, databases) reports
/// as precisely as the parser.
template <class T>
struct At {
    T value{};
    Mark mark{};
    std::string path{};  ///< key path, e.g. "origins.eu-west-1.health.timeout"

    const T& operator*() const noexcept { return value; }
    const T* operator->() const noexcept { return &value; }
};

enum class Severity { error, warning };

/// One problem of a configuration file.
struct Problem {
    Severity severity = Severity::error;
    Mark mark{};
    std::string path;  ///< key path, empty for the file as a whole
    std::string what;  ///< one sentence: what is wanted, what was found, and a near miss if there is one
};

using Problems = std::vector<Problem>;

/// "nearhop.yaml:14:7: error: origins.eu-west-1.health.timeout: want ..., found ..."
std::string to_string(const Problem& problem, const std::string& file);

/// True when at least one problem is an error; warnings alone do not stop a start or a reload.
bool has_errors(const Problems& problems);

/// Whether `problem` may be a mere consequence of an error in `others`: its value was not written, or its key is equal
/// to, above or below one of theirs.
bool follows_from(const Problem& problem, const Problems& others);

/// In file order.
bool earlier(const Problem& a, const Problem& b);

}  // namespace nearhop::conf
