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
    // Names in it are the operator's: a key may hold a line break, a message is one line all the same.
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return line;
}

bool has_errors(const Problems& problems) {
    return std::any_of(problems.begin(), problems.end(),
                       [](const Problem& problem) { return problem.severity == Severity::error; });
}

}  // namespace nearhop::conf
