#pragma once

#include <map>
#include <string>
#include <vector>

namespace nearhop::conf {

/// The rows of docs/configuration.md whose first cell is a key: `| `key` | values | default | why |`. A key with two
/// rows keeps the first, and is named in `twice`.
struct Reference {
    std::map<std::string, std::vector<std::string>> rows;
    std::vector<std::string> twice;
};
Reference read_reference(const std::string& source_folder);

}  // namespace nearhop::conf
