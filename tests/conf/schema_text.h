#pragma once

#include <string>

namespace nearhop::conf {

/// conf/schema.json as it has to be: the parser's keys and forms, with the words of docs/configuration.md.
std::string schema_text(const std::string& source_folder);

}  // namespace nearhop::conf
