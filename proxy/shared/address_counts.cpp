#include "proxy/shared/address_counts.h"

#include <algorithm>
#include <bit>

namespace nearhop::shared {
namespace {

// A slot from its highest bit: 24 bits of the hash (never 0 in a slot in use), 20 bits of sessions, 20 of requests.
// With the set's number that is about 37 bits of the hash: two addresses that share a slot share their counts.
constexpr unsigned count_bits = 20;
constexpr std::uint64_t most = (std::uint64_t{1} << count_bits) - 1;
constexpr unsigned tag_shift = 2 * count_bits;

constexpr unsigned shift_of(AddressCounts::What what) noexcept {
    return what == AddressCounts::What::session ? count_bits : 0;
}
constexpr std::uint64_t count_in(std::uint64_t word, AddressCounts::What what) noexcept {
    return word >> shift_of(what) & most;
}
constexpr std::uint64_t tag_of(std::uint64_t key) noexcept { return std::max<std::uint64_t>(key >> tag_shift, 1); }

}  // namespace

AddressCounts::AddressCounts(std::size_t addresses)
    : sets_{std::bit_ceil(std::max<std::size_t>(addresses, 64)) / ways},
      slots_{std::make_unique<std::atomic<std::uint64_t>[]>(sets_ * ways)} {}

std::atomic<std::uint64_t>* AddressCounts::set_of(std::uint64_t key) const noexcept {
    return &slots_[(key & (sets_ - 1)) * ways];
}

AddressCounts::Held AddressCounts::hold(std::uint64_t key, What what) noexcept {
    Held held;
    auto* const set = set_of(key);
    const std::uint64_t tag = tag_of(key);
    const std::uint64_t one = std::uint64_t{1} << shift_of(what);
    // Each failed exchange means that another worker moved on; a few of them in one set are far more than happen.
    for (int round = 0; round < 16; ++round) {
        std::atomic<std::uint64_t>* place = nullptr;
        std::uint64_t word = 0;
        for (auto* slot = set; slot != set + ways; ++slot) {
            const std::uint64_t found = slot->load(std::memory_order_relaxed);
            if (found >> tag_shift == tag) {
                place = slot;
                word = found;
                break;
            }
            if (found == 0 && !place) place = slot;
        }
        if (!place || count_in(word, what) == most) return held;
        const std::uint64_t next = (word == 0 ? tag << tag_shift : word) + one;
        if (!place->compare_exchange_strong(word, next, std::memory_order_relaxed)) continue;
        auto& total = totals_[static_cast<std::size_t>(what)];
        total.all.fetch_add(1, std::memory_order_relaxed);
        if (count_in(word, what) == 0) total.addresses.fetch_add(1, std::memory_order_relaxed);
        held.table_ = this;
        held.slot_ = place;
        held.what_ = what;
        return held;
    }
    return held;
}

void AddressCounts::Held::release() noexcept {
    if (!slot_) return;
    const std::uint64_t one = std::uint64_t{1} << shift_of(what_);
    std::uint64_t word = slot_->load(std::memory_order_relaxed);
    std::uint64_t next = 0;
    do {
        next = word - one;
        if (next << (64 - tag_shift) == 0) next = 0;  // nothing is left to count: the slot is free
    } while (!slot_->compare_exchange_weak(word, next, std::memory_order_relaxed));
    auto& total = table_->totals_[static_cast<std::size_t>(what_)];
    total.all.fetch_sub(1, std::memory_order_relaxed);
    if (count_in(word, what_) == 1) total.addresses.fetch_sub(1, std::memory_order_relaxed);
    slot_ = nullptr;
}

unsigned AddressCounts::count(std::uint64_t key, What what) const noexcept {
    const auto* const set = set_of(key);
    for (const auto* slot = set; slot != set + ways; ++slot) {
        const std::uint64_t word = slot->load(std::memory_order_relaxed);
        if (word >> tag_shift == tag_of(key)) return static_cast<unsigned>(count_in(word, what));
    }
    return 0;
}

bool AddressCounts::is_busy(std::uint64_t key, What what, unsigned few) const noexcept {
    const std::uint64_t mine = count(key, what);
    const auto& total = totals_[static_cast<std::size_t>(what)];
    const std::uint64_t all = total.all.load(std::memory_order_relaxed);
    return mine > few && 4 * mine * total.addresses.load(std::memory_order_relaxed) >= all;
}

}  // namespace nearhop::shared
