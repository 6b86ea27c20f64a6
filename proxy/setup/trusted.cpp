#include "proxy/setup/trusted.h"

#include "geo/ip_ranges.h"
#include "proxy/setup/build.h"
#include "proxy/wire/pem_file.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace nearhop::setup {
namespace {

using conf::Severity;
using conf::TrustedPeer;

/// The large networks of CloudFront's origin-facing servers; all together they are some fifty. For a warning they do.
constexpr std::array<std::string_view, 6> cloudfront{"130.176.0.0/16", "15.158.0.0/16",   "18.68.0.0/16",
                                                     "64.252.64.0/18", "64.252.128.0/18", "70.132.0.0/18"};

/// Services through which any customer of AWS can send requests of his own making.
constexpr std::array<std::string_view, 5> open_services{"CLOUDFRONT_ORIGIN_FACING", "CLOUDFRONT", "AMAZON", "EC2",
                                                        "API_GATEWAY"};

bool is_cloudfront(const geo::Cidr& peers) {
    return std::any_of(cloudfront.begin(), cloudfront.end(), [&](std::string_view text) {
        const auto known = geo::Cidr::parse(text);
        return known && (known->contains(peers.network) || peers.contains(known->network));
    });
}

bool is_network_alone(const TrustedPeer& peer) { return peer.secret_header.empty() && !peer.certificate.given(); }

void warn_of_strangers(const TrustedPeer& peer, conf::Problems& problems) {
    if (!is_network_alone(peer)) return;
    const auto warn = [&](const conf::At<std::string>& where) {
        problems.push_back({Severity::warning, where.mark, where.path,
                            "any customer of AWS can send through these networks, and would be trusted: want "
                            "secret_header or certificate beside them"});
    };
    if (std::find(open_services.begin(), open_services.end(), *peer.service) != open_services.end())
        return warn(peer.service);
    const auto network = peer.cidr ? geo::Cidr::parse(**peer.cidr) : std::nullopt;
    if (network && !network->is_everything() && is_cloudfront(*network)) warn(*peer.cidr);
}

bool asks_for_certificates(const conf::Config& config) {
    using conf::ClientCertificates;
    return std::any_of(config.listeners.begin(), config.listeners.end(),
                       [](const auto& each) { return *each.client_certificates != ClientCertificates::none; }) ||
           std::any_of(config.sites.begin(), config.sites.end(), [](const auto& each) {
               return each.client_certificates && **each.client_certificates != ClientCertificates::none;
           });
}

}  // namespace

shared::TrustedRanges read_ranges(const std::string& file, const std::string& service, std::string& error) {
    shared::TrustedRanges ranges{file, service, {}};
    std::string bytes;
    const shared::FileStamp before = shared::FileStamp::of(file);
    error = wire::read_file(file, bytes);
    if (shared::FileStamp::of_read(file) == before) ranges.read_at = before;
    if (error.empty()) {
        auto parsed = geo::parse_ip_ranges(bytes, service);
        ranges.networks = std::move(parsed.networks);
        error = std::move(parsed.error);
    }
    if (!error.empty()) error = "want a list of networks as AWS publishes it, found " + file + ": " + error;
    return ranges;
}

std::string too_short(const shared::TrustedRanges& in_force, const shared::TrustedRanges& next) {
    const std::size_t had = in_force.networks.size(), has = next.networks.size();
    if (has * 2 >= had) return {};
    return "want at least half of the " + std::to_string(had) + " networks of " + in_force.service +
           " in force, found " + std::to_string(has) + " in " + next.file;
}

std::shared_ptr<const steering::Trust> make_trust(const conf::Clients& clients,
                                                  const std::vector<shared::TrustedRanges>& ranges) {
    std::vector<steering::Trust::Entry> entries;
    auto list = ranges.begin();
    for (const TrustedPeer& peer : clients.trusted) {
        steering::Trust::Entry entry{std::nullopt, peer.secret_header, peer.secret.value, peer.certificate.fingerprint,
                                     peer.certificate.san};
        if (!peer.ip_ranges->empty()) {
            if (list == ranges.end()) break;
            for (const geo::Cidr& network : (list++)->networks) {
                entry.cidr = network;
                entries.push_back(entry);
            }
            continue;
        }
        if (peer.cidr) {
            entry.cidr = geo::Cidr::parse(**peer.cidr);
            if (!entry.cidr) continue;  // without it the entry would trust more than it says
        }
        entries.push_back(std::move(entry));
    }
    return std::make_shared<const steering::Trust>(std::move(entries));
}

void build_trust(const conf::Config& config, shared::Snapshot& snapshot, conf::Problems& problems) {
    std::vector<shared::TrustedRanges> ranges;
    for (const TrustedPeer& peer : config.clients.trusted) {
        if (peer.cidr) network_from(*peer.cidr, problems);
        if (peer.certificate.given() && !asks_for_certificates(config))
            problems.push_back({Severity::error, peer.certificate.mark, "clients.trusted",
                                "want client_certificates on a listener or a site: no client is asked for one"});
        warn_of_strangers(peer, problems);
        if (peer.ip_ranges->empty()) continue;
        std::string error;
        ranges.push_back(read_ranges(*peer.ip_ranges, *peer.service, error));
        if (!error.empty()) problems.push_back({Severity::error, peer.ip_ranges.mark, peer.ip_ranges.path, error});
    }
    snapshot.trust = make_trust(config.clients, ranges);
    snapshot.trusted_ranges = std::make_shared<const std::vector<shared::TrustedRanges>>(std::move(ranges));
}

void refuse_short_ranges(const shared::Snapshot& in_force, const shared::Snapshot& next, const conf::Clients& clients,
                         conf::Problems& problems) {
    if (!in_force.trusted_ranges || !next.trusted_ranges) return;
    auto list = next.trusted_ranges->begin();
    for (const TrustedPeer& peer : clients.trusted) {
        if (peer.ip_ranges->empty() || list == next.trusted_ranges->end()) continue;
        const shared::TrustedRanges& now = *list++;
        for (const shared::TrustedRanges& had : *in_force.trusted_ranges) {
            if (had.file != now.file || had.service != now.service) continue;
            if (const auto why = too_short(had, now); !why.empty())
                problems.push_back({Severity::error, peer.ip_ranges.mark, peer.ip_ranges.path, why});
            break;
        }
    }
}

}  // namespace nearhop::setup
