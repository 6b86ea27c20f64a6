#pragma once

#include "conf/config.h"
#include "conf/form.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

/// The forms of all values that a configuration may hold; parse_*.cpp says which keys have which.
namespace nearhop::conf {

Form<milliseconds> duration(milliseconds min, milliseconds max);
Form<Hedge> hedge();
Form<seconds> whole_seconds(seconds min, seconds max);
Form<Rate> rate();  ///< "20/s", "600/m" or off
Form<std::uint64_t> size(std::uint64_t min, std::uint64_t max);
Form<std::uint64_t> size_or_unlimited(std::uint64_t max);                ///< `0` means unlimited
Form<std::uint64_t> size_or_zero(std::uint64_t min, std::uint64_t max);  ///< `0` means automatic
Form<std::uint64_t> count64(std::uint64_t min, std::uint64_t max);
Form<unsigned> count(unsigned min, unsigned max);
Form<int> integer(int min, int max);
Form<unsigned> percent(unsigned min, unsigned max);  ///< "20%" or 20
Form<double> degrees(double limit);                  ///< -limit .. limit
Form<bool> flag();

Form<std::string> any_text();
Form<std::string> file_name();           ///< the caller makes it absolute
Form<std::string> variable_name();       ///< of the environment
Form<std::string> request_field_name();  ///< a field_name() that the edge does not write itself
Form<std::string> server_name();
Form<std::string> path();          ///< with a query, if wanted: what a probe asks for
Form<std::string> prefix();        ///< of paths: no query
Form<std::string> path_pattern();  ///< a path, or everything at and below one: "/files/*"
Form<std::string> need_or_path();  ///< a word of conf::Need, or a path_pattern()
Form<double> bound();              ///< any number of everyday size
Form<std::string> agent_header();  ///< a field's name, or off
Form<std::string> method();
Form<std::string> upgrade_protocol();  ///< lower case; not one that is HTTP or TLS itself
Form<std::string> field_name();        ///< not one that carries framing or routing
Form<std::string> origin_name();       ///< a new one
Form<std::string> site_name();         ///< a new one
Form<std::string> group_name();        ///< a new one
Form<std::string> site_host();
Form<std::string> host_field();
Form<std::string> host_header();
Form<std::string> network();
Form<std::string> peer_network(bool everyone_too);  ///< without the unsafe key not one that holds every address
Form<std::string> aws_service();
Form<std::string> fingerprint();       ///< SHA-256, to lower case without colons
Form<std::string> alternative_name();  ///< of a certificate, as the edge writes it
Form<std::string> country();
Form<std::string> country_key(const std::vector<std::string>& groups);
Form<std::string> dns_server();
Form<std::string> one_of_names(std::string wanted, std::vector<std::string> names);  ///< e.g. an origin's name
Form<ListenAddress> listen_address();
Form<ControlTarget> control_target();
Form<ClientCertificates> client_certificates();
Form<TlsVersion> tls_version();
Form<Untrusted> untrusted();
Form<std::string> parameter_name();  ///< of a query, as it is sent
Form<OriginUrl> origin_url();
Form<std::pair<unsigned, unsigned>> statuses();

}  // namespace nearhop::conf
