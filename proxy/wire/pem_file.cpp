#include "proxy/wire/pem_file.h"

#include "conf/regular_file.h"

namespace nearhop::wire {

std::string read_file(const std::string& file, std::string& bytes) {
    constexpr std::size_t most = 16 * 1024 * 1024;
    if (const auto fault = conf::read_regular_file(file, most + 1, bytes)) return fault.words();
    if (bytes.size() > most) return "it is larger than 16 MiB";
    return bytes.empty() ? "it is empty" : "";
}

}  // namespace nearhop::wire
