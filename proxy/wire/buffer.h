#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace nearhop::wire {

/// A queue of bytes in one contiguous block, taken from the thread's free list and given back as soon as it is empty
/// and released: an idle connection holds none. Blocks come in four sizes up to `largest`.
class Buffer {
public:
    static constexpr std::size_t largest = 288 * 1024;

    Buffer() noexcept = default;
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() { give_back(); }

    char* data() noexcept { return block_ + begin_; }
    const char* data() const noexcept { return block_ + begin_; }
    std::size_t size() const noexcept { return end_ - begin_; }
    bool empty() const noexcept { return begin_ == end_; }
    std::string_view view() const noexcept { return {block_ + begin_, size()}; }
    std::size_t room() const noexcept { return capacity_ - end_; }  ///< behind the bytes, without moving anything

    /// At least `bytes` of room behind the bytes (moving or growing as needed); size() + bytes <= largest.
    /// Throws std::bad_alloc only.
    char* prepare(std::size_t bytes);
    void commit(std::size_t bytes) noexcept { end_ += static_cast<std::uint32_t>(bytes); }
    void consume(std::size_t bytes) noexcept {
        begin_ += static_cast<std::uint32_t>(bytes);
        if (begin_ == end_) begin_ = end_ = 0;
    }
    void append(std::string_view bytes);
    void clear() noexcept { begin_ = end_ = 0; }
    /// Gives the block back if there is nothing in it.
    void release() noexcept {
        if (empty()) give_back();
    }
    void swap(Buffer& other) noexcept {
        std::swap(block_, other.block_);
        std::swap(begin_, other.begin_);
        std::swap(end_, other.end_);
        std::swap(capacity_, other.capacity_);
    }

private:
    void give_back() noexcept;
    char* block_ = nullptr;
    std::uint32_t begin_ = 0;
    std::uint32_t end_ = 0;
    std::uint32_t capacity_ = 0;
};

}  // namespace nearhop::wire
