#include "proxy/steering/locate.h"

#include <algorithm>
#include <utility>

namespace nearhop::steering {
namespace {

/// Takes as long for a wrong secret as for the right one; only the length may show.
bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    unsigned char difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
        asm volatile("" : "+r"(difference));  // keeps the compiler from leaving the loop early
    }
    return difference == 0;
}

std::string lower_case(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

}  // namespace

Trust::Trust(std::vector<Entry> entries) : entries_{std::move(entries)} {
    std::vector<std::pair<geo::Cidr, std::uint32_t>> hops;
    for (Entry& entry : entries_) {
        entry.secret_header = lower_case(std::move(entry.secret_header));
        if (entry.cidr) hops.emplace_back(*entry.cidr, 1);
        const auto known = std::find(secret_headers_.begin(), secret_headers_.end(), entry.secret_header);
        secret_index_.push_back(static_cast<std::size_t>(known - secret_headers_.begin()));
        if (known == secret_headers_.end() && !entry.secret_header.empty())
            secret_headers_.push_back(entry.secret_header);
    }
    hops_ = geo::CidrTable{std::move(hops)};
}

bool Trust::trusts(const geo::Address& peer, std::span<const std::string_view> secrets) const noexcept {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        const Entry& entry = entries_[i];
        if (entry.cidr && !entry.cidr->contains(peer)) continue;
        if (entry.secret_header.empty()) {
            if (entry.cidr) return true;
            continue;  // an entry that asks for nothing trusts nobody
        }
        const std::size_t index = secret_index_[i];
        if (entry.secret.empty() || index >= secrets.size())
            continue;  // an absent field must not equal an empty secret
        if (equal_in_constant_time(entry.secret, secrets[index])) return true;
    }
    return false;
}

}  // namespace nearhop::steering
