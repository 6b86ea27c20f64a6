#pragma once

#include "geo/locator.h"

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::steering {

/// The lines of one field that names a chain of hops, in order. Of more than eight, the oldest goes: our trusted
/// peer appends at the end, and a client with nine lines of its own must not push that out.
struct ChainLines {
    std::array<std::string_view, 8> lines{};
    std::uint8_t count = 0;

    void add(std::string_view line) noexcept;
};

/// The forwarded and viewer fields of one request, collected while the head is read. Empty view: absent.
/// `repeated` marks a field that occurs more than once, which voids it.
struct ViewerFields {
    std::string_view country;         ///< CloudFront-Viewer-Country
    std::string_view country_region;  ///< CloudFront-Viewer-Country-Region
    std::string_view address;         ///< CloudFront-Viewer-Address: ip:port, IPv6 unbracketed
    std::string_view latitude;        ///< CloudFront-Viewer-Latitude
    std::string_view longitude;       ///< CloudFront-Viewer-Longitude
    bool country_repeated = false;
    bool address_repeated = false;
    bool point_repeated = false;
    ChainLines forwarded_for;  ///< X-Forwarded-For
    ChainLines forwarded;      ///< Forwarded; counts if X-Forwarded-For names no client
};

/// The identity of a peer's verified certificate. Empty: the peer has shown none.
struct PeerCertificate {
    std::string_view fingerprint;  ///< SHA-256 in lower-case hex
    std::string_view san;          ///< its alternative names, separated by commas
};

/// The trusted peers: their forwarded fields count (docs/trust.md). Immutable; part of the snapshot.
class Trust {
public:
    /// One way to be trusted: every given part must match. An entry without any part trusts no peer.
    struct Entry {
        std::optional<geo::Cidr> cidr;
        std::string secret_header;  ///< empty: not required
        std::string secret;
        std::string fingerprint{};  ///< of the client certificate; empty: any, or none
        std::string san{};          ///< one of its names; empty: any, or none
    };
    Trust() = default;
    explicit Trust(std::vector<Entry> entries);

    /// Entries that need a secret: the field names to look for in a head (lower case). Usually empty or one.
    std::span<const std::string> secret_headers() const noexcept { return secret_headers_; }

    /// True when one entry matches in all its parts. `secrets[i]` is the value of secret_headers()[i] in this
    /// request, empty when absent. Constant-time comparison.
    bool trusts(const geo::Address& peer, std::span<const std::string_view> secrets,
                const PeerCertificate& certificate = {}) const noexcept;
    /// CIDRs only: for the X-Forwarded-For walk.
    bool trusts_hop(const geo::Address& hop) const noexcept { return hops_.contains(hop); }
    bool empty() const noexcept { return rules_.empty(); }

private:
    /// Entries that differ only in their network: hundreds of networks of a file are one rule, and one look-up.
    struct Rule {
        Entry parts;  ///< without a cidr
        std::size_t secret_index = 0;
        bool any_network = false;
        std::vector<std::pair<geo::Cidr, std::uint32_t>> listed{};  ///< until `networks` is built from them
        geo::CidrTable networks{};
    };
    Rule& rule_for(const Entry& entry);

    std::vector<Rule> rules_;
    std::vector<std::string> secret_headers_;
    geo::CidrTable hops_;
};

/// Who the client is and where: the first two questions of docs/trust.md.
struct Located {
    geo::Address client;  ///< the address that the place belongs to
    geo::Place place;
    std::uint8_t hops = 0;  ///< last entries of the peer's chain that lead to `client`; 0: the chain names no client
    bool bad_viewer_field = false;  ///< a trusted viewer field was malformed or repeated: counted
    bool disagreement = false;      ///< header country and database differ: counted; the header wins
};

/// A plain decimal number, whole, from -limit to limit: no sign but '-', no exponent, no "inf", no spaces.
std::optional<double> parse_degrees(std::string_view text, double limit) noexcept;

/// Pure, no allocation. The client is the Viewer-Address, else that of X-Forwarded-For, else that of Forwarded, else
/// the peer; its place is the operator's override of that address, else trusted coordinates, else the header country,
/// else the databases. From an untrusted peer no field counts. `peer` is the TCP peer or what the PROXY protocol said;
/// `trusted` from Trust::trusts.
Located locate(const geo::Address& peer, bool trusted, const ViewerFields& fields, const Trust& trust,
               const geo::Locator& locator) noexcept;

}  // namespace nearhop::steering
