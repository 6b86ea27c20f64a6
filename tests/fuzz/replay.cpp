#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::uint8_t> bytes_of(const std::filesystem::path& file) {
    std::ifstream stream{file, std::ios::binary};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

std::size_t replay(const std::filesystem::path& folder) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator{folder}) {
        const auto bytes = bytes_of(entry.path());
        // Said before it is tried: an abort leaves this line as the last one.
        std::printf("%s (%zu bytes)\n", entry.path().c_str(), bytes.size());
        std::fflush(stdout);
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
        ++count;
    }
    return count;
}

}  // namespace

/// fuzz_NAME CORPUS [CRASHERS]: every file of both folders once, where no libFuzzer is linked. The second may be
/// missing, since few targets have ever crashed; an empty corpus is an error.
int main(int argc, char** argv) {
    try {
        if (argc < 2 || replay(argv[1]) == 0) {
            std::fprintf(stderr, "no inputs\n");
            return 1;
        }
        if (argc > 2 && std::filesystem::is_directory(argv[2])) replay(argv[2]);
        return LLVMFuzzerTestOneInput(nullptr, 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
