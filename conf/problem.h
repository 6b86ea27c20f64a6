#pragma once

#include <string>
#include <vector>

namespace nearhop::conf {

/// A position in a configuration file, 1-based; {0, 0} means "the value was not written, its default stands".
struct Mark {
    int line = 0;
    int column = 0;
};

/// A configured value together with where the operator wrote it, so that a later pass (certificates, regions,
/// databases) can report about it as precisely as the parser does.
template <class T>
struct At {
    T value{};
    Mark mark{};
    std::string path{};  ///< key path, e.g. "origins.eu-west-1.health.timeout"

    const T& operator*() const noexcept { return value; }
    const T* operator->() const noexcept { return &value; }
};

enum class Severity { error, warning };

/// One thing wrong with a configuration file.
struct Problem {
    Severity severity = Severity::error;
    Mark mark{};
    std::string path;  ///< key path, empty for the file as a whole
    std::string what;  ///< one sentence: what was found, what is wanted, and a near miss where there is one
};

using Problems = std::vector<Problem>;

/// "nearhop.yaml:14:7: error: origins.eu-west-1.health.timeout: want ..., found ..."
std::string to_string(const Problem& problem, const std::string& file);

/// True when at least one problem is an error; warnings alone do not stop a start or a reload.
bool has_errors(const Problems& problems);

/// Whether `problem` may only follow from an error of `others`: nothing was written for it, or it is about a key at,
/// above or below one of theirs.
bool follows_from(const Problem& problem, const Problems& others);

/// In file order.
bool earlier(const Problem& a, const Problem& b);

}  // namespace nearhop::conf
