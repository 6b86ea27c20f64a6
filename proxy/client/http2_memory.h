#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <vector>

namespace nearhop::client {

/// Whole pages for the two large things that nghttp2 allocates per session: its frame buffer (16 KiB) and its map of
/// streams (4 KiB). Most of the buffer is never written, and an idle session needs neither: their pages go back to the
/// kernel meanwhile, which a block of malloc's could not. One per worker.
class Http2Blocks {
public:
    static constexpr std::size_t frame_bytes = 20 * 1024;  ///< nghttp2 wants 16,394: five pages
    static constexpr std::size_t map_bytes = 4 * 1024;
    static constexpr std::size_t block_bytes = frame_bytes + map_bytes;

    Http2Blocks() noexcept = default;
    ~Http2Blocks();
    Http2Blocks(const Http2Blocks&) = delete;
    Http2Blocks& operator=(const Http2Blocks&) = delete;

    char* take();                     ///< page-aligned, with any content. Throws std::bad_alloc only
    void give(char* block) noexcept;  ///< all but a few give their pages back

private:
    std::vector<void*> slabs_;
    std::vector<char*> free_;  ///< the last one given is the first one taken: its pages may be there still
};

/// What one nghttp2 session allocates with. It must outlive that session and stay where it is.
class Http2Memory {
public:
    explicit Http2Memory(Http2Blocks& blocks) : blocks_{blocks}, block_{blocks.take()} {}
    ~Http2Memory() { blocks_.give(block_); }
    Http2Memory(const Http2Memory&) = delete;
    Http2Memory& operator=(const Http2Memory&) = delete;

    /// Only what nghttp2 allocates until created() may live in the block.
    nghttp2_mem allocator() noexcept;
    void created() noexcept { creating_ = false; }
    /// Gives pages back while nothing of them is needed: nghttp2 has nothing to send. The map's page goes only if no
    /// byte of it is set, so that it reads the same afterwards.
    void rest() noexcept;
    /// Both large things found their place in the block: nghttp2 allocates as this was written for.
    bool fits() const noexcept { return frame_used_ && map_used_; }

private:
    void* allocate(std::size_t bytes) noexcept;
    void* allocate_zeroed(std::size_t bytes) noexcept;
    void* reallocate(void* old, std::size_t bytes) noexcept;
    void release(void* memory) noexcept;
    bool owns(const void* memory) const noexcept {
        return memory >= block_ && memory < block_ + Http2Blocks::block_bytes;
    }

    Http2Blocks& blocks_;
    char* block_;
    bool creating_ = true;
    bool frame_used_ = false;
    bool map_used_ = false;
};

}  // namespace nearhop::client
