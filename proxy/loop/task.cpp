#include "proxy/loop/task.h"

#include <array>
#include <new>

namespace nearhop::loop {
namespace {

constexpr std::size_t step = 32;        // an idle session has four frames: rounding up is paid four times
constexpr std::size_t classes = 128;    // frames up to 4 KiB
constexpr std::size_t most_kept = 256;  // per class: what a burst leaves behind is bounded

struct FreeList {
    struct Node {
        Node* next;
    };
    struct Class {
        Node* first = nullptr;
        std::size_t count = 0;
    };
    std::array<Class, classes> by_size{};

    ~FreeList() {
        for (auto& size : by_size)
            while (size.first) {
                Node* node = size.first;
                size.first = node->next;
                ::operator delete(node);
            }
    }
};

thread_local FreeList frames;

}  // namespace

void* allocate_frame(std::size_t bytes) {
    const std::size_t index = (bytes - 1) / step;
    if (index >= classes) return ::operator new(bytes);
    auto& size = frames.by_size[index];
    if (!size.first) return ::operator new((index + 1) * step);
    FreeList::Node* node = size.first;
    size.first = node->next;
    --size.count;
    return node;
}

void free_frame(void* frame, std::size_t bytes) noexcept {
    const std::size_t index = (bytes - 1) / step;
    if (index >= classes || frames.by_size[index].count >= most_kept) return ::operator delete(frame);
    auto* node = static_cast<FreeList::Node*>(frame);
    node->next = frames.by_size[index].first;
    frames.by_size[index].first = node;
    ++frames.by_size[index].count;
}

}  // namespace nearhop::loop
