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

/// `names` has commas between names and, escaped, none in them.
bool has_name(std::string_view names, std::string_view wanted) noexcept {
    while (!names.empty()) {
        const auto comma = std::min(names.find(','), names.size());
        if (names.substr(0, comma) == wanted) return true;
        names.remove_prefix(std::min(comma + 1, names.size()));
    }
    return false;
}

bool is_shown(const Trust::Entry& wanted, const PeerCertificate& certificate) noexcept {
    return (wanted.fingerprint.empty() || wanted.fingerprint == certificate.fingerprint) &&
           (wanted.san.empty() || has_name(certificate.san, wanted.san));
}

}  // namespace

Trust::Rule& Trust::rule_for(const Entry& entry) {
    for (Rule& rule : rules_)
        if (rule.parts.secret_header == entry.secret_header && rule.parts.secret == entry.secret &&
            rule.parts.fingerprint == entry.fingerprint && rule.parts.san == entry.san)
            return rule;
    const auto known = std::find(secret_headers_.begin(), secret_headers_.end(), entry.secret_header);
    const auto index = static_cast<std::size_t>(known - secret_headers_.begin());
    if (known == secret_headers_.end() && !entry.secret_header.empty()) secret_headers_.push_back(entry.secret_header);
    rules_.push_back({.parts = entry, .secret_index = index});
    rules_.back().parts.cidr.reset();
    return rules_.back();
}

Trust::Trust(std::vector<Entry> entries) {
    std::vector<std::pair<geo::Cidr, std::uint32_t>> hops;
    for (Entry& entry : entries) {
        entry.secret_header = lower_case(std::move(entry.secret_header));
        const bool asks = !entry.secret_header.empty() || !entry.fingerprint.empty() || !entry.san.empty();
        if (!entry.cidr && !asks) continue;  // an entry that asks for nothing trusts nobody
        Rule& rule = rule_for(entry);
        if (entry.cidr) {
            rule.listed.emplace_back(*entry.cidr, 1);
            hops.emplace_back(*entry.cidr, 1);
        } else {
            rule.any_network = true;
        }
    }
    for (Rule& rule : rules_) rule.networks = geo::CidrTable{std::exchange(rule.listed, {})};
    hops_ = geo::CidrTable{std::move(hops)};
}

bool Trust::trusts(const geo::Address& peer, std::span<const std::string_view> secrets,
                   const PeerCertificate& certificate) const noexcept {
    for (const Rule& rule : rules_) {
        if (!rule.any_network && !rule.networks.contains(peer)) continue;
        if (!is_shown(rule.parts, certificate)) continue;
        if (rule.parts.secret_header.empty()) return true;
        if (rule.parts.secret.empty() || rule.secret_index >= secrets.size())
            continue;  // an absent field must not equal an empty secret
        if (equal_in_constant_time(rule.parts.secret, secrets[rule.secret_index])) return true;
    }
    return false;
}

}  // namespace nearhop::steering
