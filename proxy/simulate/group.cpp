#include "proxy/simulate/group.h"

#include "geo/catalogue.h"

#include <algorithm>
#include <string_view>

namespace nearhop::simulate {
namespace {

template <class Belongs>
std::vector<geo::Country> countries_that(Belongs belongs) {
    std::vector<geo::Country> found;
    for (std::size_t index = 0; index < geo::Country::count; ++index) {
        const auto country = geo::Country::from_index(index);
        const auto* facts = geo::facts(country);
        if (facts && belongs(country, *facts)) found.push_back(country);
    }
    return found;
}

const std::vector<std::string>* own_group(const std::string& name, const conf::Config& config) {
    for (const auto& site : config.sites)
        if (const auto found = site.groups.find(name); found != site.groups.end()) return &found->second;
    return nullptr;
}

}  // namespace

bool Group::holds(geo::Country country) const noexcept {
    return std::find(countries.begin(), countries.end(), country) != countries.end();
}

std::optional<Group> group_from(const std::string& name, const conf::Config& config) {
    constexpr std::string_view continent_prefix = "continent:";
    Group group{name, {}};
    if (name == "all") {
        group.countries = countries_that([](auto, const auto&) { return true; });
    } else if (name.starts_with(continent_prefix)) {
        const auto continent = geo::parse_continent(std::string_view{name}.substr(continent_prefix.size()));
        if (continent)
            group.countries = countries_that([&](auto, const auto& facts) { return facts.continent == *continent; });
    } else if (const auto* own = own_group(name, config)) {
        group.countries = countries_that([&](geo::Country country, const auto&) {
            return std::find(own->begin(), own->end(), country.text()) != own->end();
        });
    } else if (const auto built_in = geo::built_in_group(name); !built_in.empty()) {
        group.countries = countries_that([&](geo::Country country, const auto&) {
            return std::find(built_in.begin(), built_in.end(), country) != built_in.end();
        });
    } else if (const auto country = geo::Country::parse(name); country && geo::facts(*country)) {
        group = {std::string{country->text()}, {*country}};
    }
    return group.countries.empty() ? std::nullopt : std::optional{std::move(group)};
}

std::vector<std::string> group_names(const conf::Config& config) {
    std::vector<std::string> names{"all", "eu", "eea"};
    for (const auto& site : config.sites)
        for (const auto& [name, codes] : site.groups) names.push_back(name);
    for (const char* code : {"AF", "AN", "AS", "EU", "NA", "OC", "SA"})
        names.push_back(std::string{"continent:"} + code);
    return names;
}

}  // namespace nearhop::simulate
