#include "geo/ip_ranges.h"

#include <boost/json.hpp>

#include <algorithm>
#include <utility>

namespace nearhop::geo {
namespace {

namespace json = boost::json;

// AWS announces nothing wider; a list that would trust a large part of the internet is not theirs.
constexpr unsigned widest_v4 = 96 + 8;
constexpr unsigned widest_v6 = 16;

std::string_view text_of(const json::object& row, std::string_view key) {
    const json::value* value = row.if_contains({key.data(), key.size()});
    const json::string* text = value ? value->if_string() : nullptr;
    return text ? std::string_view{text->data(), text->size()} : std::string_view{};
}

/// Both members look alike but for the name of their network's key.
struct Member {
    std::string_view list;
    std::string_view network;
    bool v4;
};

std::string add_networks(const json::object& all, const Member& member, std::string_view service,
                         std::vector<Cidr>& networks) {
    const std::string list{member.list};
    const json::value* value = all.if_contains({list.data(), list.size()});
    const json::array* rows = value ? value->if_array() : nullptr;
    if (!rows) return "it has no list " + list;
    for (std::size_t i = 0; i < rows->size(); ++i) {
        const auto wrong = [&](std::string_view what) {
            return list + '[' + std::to_string(i) + "] " + std::string{what};
        };
        const json::object* row = (*rows)[i].if_object();
        const std::string_view name = row ? text_of(*row, "service") : std::string_view{};
        const std::string_view text = row ? text_of(*row, member.network) : std::string_view{};
        if (name.empty() || text.empty()) return wrong("has no service or no " + std::string{member.network});
        if (name != service) continue;
        const auto cidr = Cidr::parse(text);
        const bool v4 = cidr && cidr->network.is_v4() && cidr->bits >= 96;
        if (!cidr || v4 != member.v4) return wrong(member.v4 ? "is no IPv4 network" : "is no IPv6 network");
        if (cidr->bits < (v4 ? widest_v4 : widest_v6)) return wrong("is wider than any network of AWS");
        if (networks.size() == most_ip_ranges)
            return "it has more than " + std::to_string(most_ip_ranges) + " networks of one service";
        networks.push_back(*cidr);
    }
    return {};
}

}  // namespace

IpRanges parse_ip_ranges(std::string_view text, std::string_view service) {
    if (text.size() > largest_ip_ranges)
        return {{}, "it is larger than " + std::to_string(largest_ip_ranges / (1024 * 1024)) + " MiB"};
    boost::system::error_code error;
    json::parse_options options;
    options.max_depth = 4;  // the list, its member, a row and no more
    const json::value value = json::parse({text.data(), text.size()}, error, {}, options);
    if (error) return {{}, "it is not the JSON that is wanted: " + error.message()};
    const json::object* all = value.if_object();
    if (!all) return {{}, "it is not an object with the lists prefixes and ipv6_prefixes"};

    IpRanges found;
    for (const Member& member : {Member{"prefixes", "ip_prefix", true}, Member{"ipv6_prefixes", "ipv6_prefix", false}})
        if (auto why = add_networks(*all, member, service, found.networks); !why.empty()) return {{}, std::move(why)};
    auto& networks = found.networks;
    if (networks.empty()) return {{}, "it has no network of " + std::string{service}};
    // A network is listed once for each border group that announces it.
    std::sort(networks.begin(), networks.end(), [](const Cidr& left, const Cidr& right) {
        if (left.network != right.network) return left.network.bytes() < right.network.bytes();
        return left.bits < right.bits;
    });
    networks.erase(std::unique(networks.begin(), networks.end(),
                               [](const Cidr& left, const Cidr& right) {
                                   return left.network == right.network && left.bits == right.bits;
                               }),
                   networks.end());
    return found;
}

}  // namespace nearhop::geo
