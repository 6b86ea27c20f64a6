#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nearhop::geo {

/// Bytes in memory behind a descriptor that nothing can change or shrink, so that a mapping of it never faults.
/// Move-only; closing the descriptor leaves existing mappings alone.
class SealedFile {
public:
    /// Copies a regular file of at most `most_bytes`. On failure `error` has the reason and the result is empty.
    static SealedFile read(const std::string& file, std::string& error, std::uint64_t most_bytes = UINT64_MAX);
    static SealedFile of(std::string_view bytes, std::string& error);

    SealedFile() = default;
    SealedFile(SealedFile&& other) noexcept;
    SealedFile& operator=(SealedFile&& other) noexcept;
    ~SealedFile();

    explicit operator bool() const noexcept { return descriptor_ >= 0; }
    std::string path() const;  ///< /proc/self/fd/N: for libraries that only open by name

private:
    explicit SealedFile(int descriptor) noexcept : descriptor_{descriptor} {}
    int descriptor_ = -1;
};

}  // namespace nearhop::geo
