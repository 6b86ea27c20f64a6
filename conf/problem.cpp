#include "conf/problem.h"

#include <algorithm>

namespace nearhop::conf {

std::string to_string(const Problem& problem, const std::string& file) {
    std::string line = file;
    if (problem.mark.line > 0)
        line += ':' + std::to_string(problem.mark.line) + ':' + std::to_string(problem.mark.column);
    line += problem.severity == Severity::error ? ": error: " : ": warning: ";
    if (!problem.path.empty()) line += problem.path + ": ";
    line += problem.what;
    // Names in it are the operator's: a key may hold a line break, but a message is one line.
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return line;
}

bool has_errors(const Problems& problems) {
    return std::any_of(problems.begin(), problems.end(),
                       [](const Problem& problem) { return problem.severity == Severity::error; });
}

bool follows_from(const Problem& problem, const Problems& others) {
    if (problem.mark.line == 0) return true;
    const auto below = [](const std::string& path, const std::string& other) {
        return path.starts_with(other) &&
               (path.size() == other.size() || path[other.size()] == '.' || path[other.size()] == '[' || other.empty());
    };
    return std::any_of(others.begin(), others.end(), [&](const Problem& other) {
        return other.severity == Severity::error &&
               (below(problem.path, other.path) || below(other.path, problem.path));
    });
}

bool earlier(const Problem& a, const Problem& b) {
    return a.mark.line != b.mark.line ? a.mark.line < b.mark.line : a.mark.column < b.mark.column;
}

}  // namespace nearhop::conf
