#include "proxy/wire/buffer.h"

#include <array>
#include <cstring>
#include <new>
#include <vector>

namespace nearhop::wire {
namespace {

// A head; one TLS record (16 KiB and its frame); a good read; a full send.
constexpr std::array<std::uint32_t, 4> sizes{4 * 1024, 18 * 1024, 72 * 1024, Buffer::largest};
constexpr std::size_t kept_bytes = 4 * 1024 * 1024;  // per size and thread: what a burst leaves behind is bounded

struct FreeBlocks {
    std::array<std::vector<char*>, sizes.size()> by_size;
    ~FreeBlocks() {
        for (auto& blocks : by_size)
            for (char* block : blocks) ::operator delete(block);
    }
};
thread_local FreeBlocks blocks;

std::size_t class_of(std::size_t bytes) {
    for (std::size_t i = 0; i < sizes.size(); ++i)
        if (bytes <= sizes[i]) return i;
    throw std::bad_alloc{};
}

}  // namespace

char* Buffer::prepare(std::size_t bytes) {
    if (room() >= bytes) return block_ + end_;
    const std::size_t held = size();
    if (capacity_ >= held + bytes) {
        std::memmove(block_, data(), held);
        begin_ = 0;
        end_ = static_cast<std::uint32_t>(held);
        return block_ + end_;
    }
    const std::size_t index = class_of(held + bytes);
    auto& free = blocks.by_size[index];
    char* block = nullptr;
    if (free.empty()) {
        block = static_cast<char*>(::operator new(sizes[index]));
    } else {
        block = free.back();
        free.pop_back();
    }
    if (held != 0) std::memcpy(block, data(), held);
    give_back();
    block_ = block;
    end_ = static_cast<std::uint32_t>(held);
    capacity_ = sizes[index];
    return block_ + end_;
}

void Buffer::append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
    commit(bytes.size());
}

void Buffer::give_back() noexcept {
    if (!block_) return;
    const std::size_t index = class_of(capacity_);
    auto& free = blocks.by_size[index];
    if ((free.size() + 1) * sizes[index] > kept_bytes) {
        ::operator delete(block_);
    } else {
        if (free.capacity() == 0) free.reserve(kept_bytes / sizes[index]);
        free.push_back(block_);
    }
    block_ = nullptr;
    begin_ = end_ = capacity_ = 0;
}

}  // namespace nearhop::wire
