#pragma once

#include "conf/config.h"
#include "proxy/steering/rules.h"

#include <string>
#include <vector>

/// Which origins may serve every possible request: country x method x route x site, with all origins up, by the rules
/// of decide(). Pure; for `check`, start and reload.
namespace nearhop::steering {

/// Clients of a site to whom the same row of the `country` policy applies.
struct ClientGroup {
    const CountryOrder* row = nullptr;  ///< null: none
    std::vector<std::string> names;     ///< countries by code, then continents, then "no known place"
    geo::Place example;
};
std::vector<ClientGroup> client_groups(const SiteTable& site);

/// One kind of request to a site: a route that such a request really reaches, and a method.
struct Question {
    RouteId route = 0;
    std::string method;
};
std::vector<Question> questions(const SiteTable& site);

/// The origins that may serve it.
OriginSet may_serve(const SiteTable& site, const Question& question, const ClientGroup& clients);

/// A problem for each row, and for each site without rows, that leaves some request without an origin.
void check_unserved(const conf::Config& config, const Table& table, conf::Problems& problems);

/// "POST in site main for row eu": the first request that this origin alone may serve; empty: there is none.
std::string alone_for(OriginId origin, const conf::Config& config, const Table& table);

/// For each row with `only`, the origins that may serve its clients over all methods and routes; empty: no such row.
std::string residency_text(const conf::Config& config, const Table& table);

}  // namespace nearhop::steering
