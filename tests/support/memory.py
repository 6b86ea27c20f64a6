"""An edge that finds no memory for allocations of just one size: std::bad_alloc where a test wants it. Its libraries'
operator new is replaced by one that looks at the size."""

import subprocess

SOURCE = r"""
#include <cstdlib>
#include <new>
static const std::size_t missing = std::strtoull(std::getenv("NEARHOP_NO_MEMORY_FOR"), nullptr, 10);
void* operator new(std::size_t bytes) {
    if (bytes == missing && missing != 0) throw std::bad_alloc{};
    if (void* block = std::malloc(bytes == 0 ? 1 : bytes)) return block;
    throw std::bad_alloc{};
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
"""
RESPONSE_FIELDS = 1024 * 40  # the vector of a head with more than 512 fields
REQUEST_TRAILER_VALUE = 5000
REQUEST_TRAILER = len("x: ") + REQUEST_TRAILER_VALUE + 1  # a string that takes this value at once
RESPONSE_TRAILERS = 15 * 2**9 + 1  # a string that grows beyond 3840 bytes


def without_memory_for(size, folder):
    """The environment of such an edge."""
    source, library = folder / "memory.cpp", folder / "memory.so"
    source.write_text(SOURCE)
    subprocess.run(["c++", "-std=c++20", "-O1", "-fPIC", "-shared", str(source), "-o", str(library)], check=True)
    return {"LD_PRELOAD": str(library), "NEARHOP_NO_MEMORY_FOR": str(size)}
