#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace nearhop::account {

/// A queue of bytes between one writing and one reading thread, without a lock or a system call. What does not fit as
/// a whole is refused.
template <std::size_t Size>
class ByteRing {
    static_assert((Size & (Size - 1)) == 0, "a power of two");

public:
    bool push(std::string_view bytes) noexcept {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        if (bytes.size() > Size - (head - tail_.load(std::memory_order_acquire))) return false;
        const std::size_t begin = head & (Size - 1);
        const std::size_t first = std::min(bytes.size(), Size - begin);
        std::memcpy(block_.get() + begin, bytes.data(), first);
        std::memcpy(block_.get(), bytes.data() + first, bytes.size() - first);
        head_.store(head + bytes.size(), std::memory_order_release);
        return true;
    }

    static constexpr std::size_t capacity() noexcept { return Size; }
    std::size_t size() const noexcept {  ///< of what is queued; any thread
        const std::size_t tail = tail_.load(std::memory_order_acquire);
        return head_.load(std::memory_order_acquire) - tail;
    }

    /// What is queued, oldest first, in one or two pieces; it stays until pop().
    std::array<std::string_view, 2> peek() const noexcept {
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        const std::size_t size = head_.load(std::memory_order_acquire) - tail;
        const std::size_t begin = tail & (Size - 1);
        const std::size_t first = std::min(size, Size - begin);
        return {std::string_view{block_.get() + begin, first}, std::string_view{block_.get(), size - first}};
    }
    void pop(std::size_t bytes) noexcept {
        tail_.store(tail_.load(std::memory_order_relaxed) + bytes, std::memory_order_release);
    }

private:
    // Positions only grow; the writer's and the reader's are kept apart so that they do not share a cache line.
    alignas(64) std::atomic<std::size_t> head_{0};
    alignas(64) std::atomic<std::size_t> tail_{0};
    std::unique_ptr<char[]> block_ = std::make_unique_for_overwrite<char[]>(Size);
};

}  // namespace nearhop::account
