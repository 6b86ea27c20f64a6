#pragma once

#include <string>

namespace nearhop::wire {

/// The file's bytes, at most 16 MiB. The result says why not; empty: read.
std::string read_file(const std::string& file, std::string& bytes);

}  // namespace nearhop::wire
