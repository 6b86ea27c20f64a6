#include "proxy/shared/registry.h"

#include <algorithm>
#include <iterator>

namespace nearhop::shared {
namespace {

template <class Rows>
auto block(Rows& rows, const typename Rows::key_type& key, unsigned worker, unsigned workers) {
    using Block = typename Rows::mapped_type::value_type::element_type;
    auto& row = rows[key];
    row.resize(workers);
    if (!row[worker]) row[worker] = std::make_shared<Block>();
    return row[worker];
}

/// True when something is still going on there, at any worker.
template <class Block, class Count>
bool is_busy(const std::vector<std::shared_ptr<Block>>& blocks, Count count) {
    return std::any_of(blocks.begin(), blocks.end(), [&](const auto& block) { return block && count(*block) != 0; });
}

/// False when one that is not wanted is still busy, and so stays.
template <class Rows, class Wanted, class Busy>
bool prune(Rows& rows, Wanted wanted, Busy busy) {
    bool all = true;
    std::erase_if(rows, [&](const auto& row) {
        if (wanted(row.first)) return false;
        const bool stays = busy(row);
        all = all && !stays;
        return !stays;
    });
    return all;
}

template <class Rows>
Rows copy(const Rows& rows, std::mutex& mutex) {
    const std::lock_guard lock{mutex};
    return rows;
}

}  // namespace

Registry::Registry(unsigned workers) {
    for (unsigned i = 0; i < workers; ++i) by_worker_.push_back(std::make_unique<account::WorkerCounters>());
}

std::shared_ptr<account::OriginCounters> Registry::origin(unsigned worker, const std::string& site,
                                                          const std::string& origin) {
    const std::lock_guard lock{mutex_};
    std::pair key{site, origin};
    if (origins_.size() >= most_rows() && !origins_.contains(key)) key.first = other_sites;
    return block(origins_, key, worker, workers());
}

std::shared_ptr<account::SiteCounters> Registry::site(unsigned worker, const std::string& site) {
    const std::lock_guard lock{mutex_};
    const bool has_room = sites_.size() < most_rows() || sites_.contains(site);
    return block(sites_, has_room ? site : std::string{other_sites}, worker, workers());
}

std::shared_ptr<account::PoolCounters> Registry::pool(unsigned worker, const std::string& origin) {
    const std::lock_guard lock{mutex_};
    return block(pools_, origin, worker, workers());
}

std::shared_ptr<OriginLoad> Registry::load(const std::string& origin) {
    const std::lock_guard lock{mutex_};
    auto& load = loads_[origin];
    if (!load) load = std::make_shared<OriginLoad>();
    return load;
}

bool Registry::retain(const std::set<std::string_view>& sites, const std::set<std::string_view>& origins) {
    const auto is_site = [&](const std::string& name) { return name == other_sites || sites.contains(name); };
    const auto is_origin = [&](const std::string& name) { return origins.contains(name); };
    const std::lock_guard lock{mutex_};
    const bool all[] = {
        prune(
            origins_, [&](const auto& pair) { return is_site(pair.first) && is_origin(pair.second); },
            [](const auto& row) {
                return is_busy(row.second, [](const account::OriginCounters& block) { return block.in_flight.get(); });
            }),
        prune(sites_, is_site,
              [&](const auto& row) {
                  const auto first = origins_.lower_bound({row.first, std::string{}});
                  return first != origins_.end() && first->first.first == row.first;
              }),
        prune(pools_, is_origin,
              [](const auto& row) {
                  return is_busy(row.second, [](const account::PoolCounters& block) {
                      return block.idle.get() + block.active.get();
                  });
              }),
        prune(loads_, is_origin,
              [](const auto& row) { return row.second->in_flight() != 0 || row.second->queued() != 0; })};
    return std::all_of(std::begin(all), std::end(all), [](bool each) { return each; });
}

std::map<std::string, std::shared_ptr<OriginLoad>> Registry::loads() const { return copy(loads_, mutex_); }

Registry::Rows<std::pair<std::string, std::string>, account::OriginCounters> Registry::origins() const {
    return copy(origins_, mutex_);
}
Registry::Rows<std::string, account::SiteCounters> Registry::sites() const { return copy(sites_, mutex_); }
Registry::Rows<std::string, account::PoolCounters> Registry::pools() const { return copy(pools_, mutex_); }

}  // namespace nearhop::shared
