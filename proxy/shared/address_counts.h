#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace nearhop::shared {

/// How many sessions and requests each address has open now, in fixed memory, shared by all workers without a lock.
/// A slot is one word (a part of the address's hash and both counts), and is free again when both are 0. An address
/// that finds no slot is not counted, and so not limited: a table that is too small must not refuse anybody.
class AddressCounts {
public:
    enum class What : std::uint8_t { session, request };

    explicit AddressCounts(std::size_t addresses);  ///< rounded up to a power of two, at least 64

    /// One that is counted; given back by its destructor.
    class Held {
    public:
        Held() noexcept = default;
        Held(Held&& other) noexcept { *this = std::move(other); }
        Held& operator=(Held&& other) noexcept {
            std::swap(table_, other.table_);
            std::swap(slot_, other.slot_);
            std::swap(what_, other.what_);
            return *this;
        }
        ~Held() { release(); }
        void release() noexcept;

    private:
        friend class AddressCounts;
        AddressCounts* table_ = nullptr;
        std::atomic<std::uint64_t>* slot_ = nullptr;
        What what_ = What::session;
    };

    /// `key` from AddressHash.
    Held hold(std::uint64_t key, What what) noexcept;
    unsigned count(std::uint64_t key, What what) const noexcept;
    /// Whether this address holds at least a quarter of the mean and more than `few`: the ones that overload meets
    /// first. A quarter, so that many greedy addresses do not fill the place of those who hold little by turns.
    bool is_busy(std::uint64_t key, What what, unsigned few) const noexcept;

private:
    static constexpr std::size_t ways = 8;
    struct Total {
        std::atomic<std::uint32_t> all{0}, addresses{0};
    };
    std::atomic<std::uint64_t>* set_of(std::uint64_t key) const noexcept;

    std::size_t sets_;
    std::unique_ptr<std::atomic<std::uint64_t>[]> slots_;
    std::array<Total, 2> totals_;
};

}  // namespace nearhop::shared
