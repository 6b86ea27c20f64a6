#include "proxy/client/http2_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace nearhop::client {

namespace {
constexpr std::size_t slab_blocks = 64;
constexpr std::size_t warm_blocks = 64;  // free ones that keep their pages
}  // namespace

Http2Blocks::~Http2Blocks() {
    for (void* slab : slabs_) munmap(slab, slab_blocks * block_bytes);
}

char* Http2Blocks::take() {
    if (free_.empty()) {
        free_.reserve((slabs_.size() + 1) * slab_blocks);  // so that give() never allocates
        slabs_.reserve(slabs_.size() + 1);
        void* slab =
            mmap(nullptr, slab_blocks * block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (slab == MAP_FAILED) throw std::bad_alloc{};
        madvise(slab, slab_blocks * block_bytes, MADV_NOHUGEPAGE);  // a huge page would be resident as a whole
        slabs_.push_back(slab);
        for (std::size_t i = slab_blocks; i-- > 0;) free_.push_back(static_cast<char*>(slab) + i * block_bytes);
    }
    char* block = free_.back();
    free_.pop_back();
    return block;
}

void Http2Blocks::give(char* block) noexcept {
    if (free_.size() >= warm_blocks) madvise(block, block_bytes, MADV_DONTNEED);
    free_.push_back(block);
}

nghttp2_mem Http2Memory::allocator() noexcept {
    static constexpr auto of = [](void* user) { return static_cast<Http2Memory*>(user); };
    return {this, [](std::size_t bytes, void* user) { return of(user)->allocate(bytes); },
            [](void* memory, void* user) { of(user)->release(memory); },
            [](std::size_t count, std::size_t each, void* user) { return of(user)->allocate_zeroed(count * each); },
            [](void* old, std::size_t bytes, void* user) { return of(user)->reallocate(old, bytes); }};
}

void Http2Memory::rest() noexcept {
    if (frame_used_) madvise(block_, Http2Blocks::frame_bytes, MADV_DONTNEED);
    char* map = block_ + Http2Blocks::frame_bytes;
    if (map_used_ && std::all_of(map, map + Http2Blocks::map_bytes, [](char byte) { return byte == 0; }))
        madvise(map, Http2Blocks::map_bytes, MADV_DONTNEED);
}

void* Http2Memory::allocate(std::size_t bytes) noexcept {
    if (!creating_ || frame_used_ || bytes < Http2Blocks::frame_bytes / 2 || bytes > Http2Blocks::frame_bytes)
        return std::malloc(bytes);
    frame_used_ = true;
    return block_;
}

void* Http2Memory::allocate_zeroed(std::size_t bytes) noexcept {
    if (!creating_ || map_used_ || bytes != Http2Blocks::map_bytes) return std::calloc(1, bytes);
    map_used_ = true;
    return std::memset(block_ + Http2Blocks::frame_bytes, 0, bytes);
}

void* Http2Memory::reallocate(void* old, std::size_t bytes) noexcept {
    if (!old) return allocate(bytes);
    if (!owns(old)) return std::realloc(old, bytes);
    void* moved = std::malloc(bytes);
    const auto* from = static_cast<const char*>(old);
    // More than was asked for at first is harmless to copy: it is the block's own.
    if (moved)
        std::memcpy(moved, from, std::min(bytes, static_cast<std::size_t>(block_ + Http2Blocks::block_bytes - from)));
    return moved;
}

void Http2Memory::release(void* memory) noexcept {
    if (!owns(memory)) std::free(memory);  // the block goes back as a whole, with the session
}

}  // namespace nearhop::client
