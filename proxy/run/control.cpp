#include "proxy/run/control.h"

#include "health/leader.h"
#include "proxy/run/build.h"
#include "proxy/run/geo_watch.h"
#include "proxy/run/headroom_watch.h"
#include "proxy/run/isolation_watch.h"
#include "proxy/run/logging.h"
#include "proxy/run/origin_watch.h"
#include "proxy/run/ranges_watch.h"
#include "proxy/run/status.h"
#include "proxy/run/trusted.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <map>
#include <random>
#include <stdexcept>
#include <utility>

namespace nearhop::run {
namespace {

using loop::milliseconds;
using loop::TimePoint;

constexpr milliseconds traffic_pause{50};         ///< between two looks at traffic counters because of failures
constexpr milliseconds tick{1'000};               ///< traffic counters, round trips, watched files
constexpr milliseconds first_round_limit{5'000};  ///< then clients are served, whatever is still unknown

bool same(const Endpoint& left, const Endpoint& right) { return left.text == right.text && left.down == right.down; }

/// `changing` is for the schedule of probes only: nobody decides by it.
bool same(const health::OriginHealth& left, const health::OriginHealth& right) {
    health::State state = left.state;
    state.changing = right.state.changing;
    return state == right.state && left.rtt_ms == right.rtt_ms && left.failing == right.failing &&
           left.share == right.share;
}

template <class T>
bool same(const std::vector<T>& left, const std::vector<T>& right) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](const T& a, const T& b) { return same(a, b); });
}

std::string state_file_of(const conf::Admin& admin) {
    if (!admin.state_file->empty()) return *admin.state_file;
    const char* folders = std::getenv("STATE_DIRECTORY");  // systemd's; several are separated by colons
    if (!folders || *folders != '/') return {};
    const std::string_view all = folders;
    return std::string{all.substr(0, all.find(':'))} + "/overrides.json";
}

void log_override(std::string_view event, const OverrideRecord& record) {
    const std::time_t until = std::chrono::system_clock::to_time_t(record.expires);
    std::tm parts{};
    gmtime_r(&until, &parts);
    char text[32] = "-";
    if (record.order != health::Override::none) std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    log_warning(event, {{"origin", record.origin},
                        {"override", health::name(record.order)},
                        {"author", record.author},
                        {"reason", record.why},
                        {"expires", text}});
}

}  // namespace

struct Control::Impl final : private loop::Notify {
    Impl(loop::Loop& owner, Board& where, admin::Registry& counters, Snapshot first, const wire::TicketKeys& tickets)
        : loop{owner}, board{where}, registry{counters}, keys{tickets}, latest{std::move(first)} {
        status.config_loaded = std::chrono::system_clock::now();
        status.config_generation = latest.routing->config_generation;
        geo.follow(latest.routing->config.geo, latest.locator->databases());
        follow_ranges();
        publish();
        overrides.set_file(state_file_of(latest.routing->config.admin));
        if (const auto problem = overrides.load(std::chrono::system_clock::now(), loop.now()); !problem.empty())
            log_error("overrides_refused", {{"what", problem}});
        for (const auto& [name, record] : overrides.all()) log_override("override_restored", record);
        if (latest.routing->config.geo.databases.empty() && is_old(*geo.databases().front().database))
            log_info("geo_database", {{"embedded", true}, {"old", true}});
    }

    void start(std::function<void()> then) {
        on_first_round = std::move(then);
        started = true;
        follow_origins(std::make_unique<origin::Resolver>(loop, latest.routing->config.dns));
        next_tick = loop.now() + tick;
        next_geo = loop.now() + latest.routing->config.geo.watch;
        next_ranges = loop.now() + latest.routing->config.clients.watch;
        first_round_ends = loop.now() + first_round_limit;
        timer.expires_at(next_tick);
        headroom.look(latest, loop.now());
        republish();
    }

    ReloadResult reload() {
        auto loaded = load(latest.routing->config.file, keys);
        std::unique_ptr<origin::Resolver> other;
        if (loaded.snapshot) {
            refuse_short_ranges(latest, *loaded.snapshot, loaded.snapshot->routing->config.clients, loaded.problems);
            if (conf::has_errors(loaded.problems)) loaded.snapshot.reset();
        }
        if (loaded.snapshot) {
            const auto& dns = loaded.snapshot->routing->config.dns;
            try {
                if (needs_other_resolver(dns)) other = std::make_unique<origin::Resolver>(loop, dns);
            } catch (const std::runtime_error& error) {
                loaded.problems.push_back({conf::Severity::error, {}, "dns", error.what()});
                loaded.snapshot.reset();
            }
        }
        status.reload_problems = loaded.problems;
        for (const auto& problem : loaded.problems)
            log_event(problem.severity == conf::Severity::error ? LogLevel::error : LogLevel::warning, "config_problem",
                      {{"problem", conf::to_string(problem, latest.routing->config.file)}});
        if (!loaded.snapshot) {
            ++status.reloads_failed;
            log_error("reload", {{"result", "refused"}, {"kept_generation", status.config_generation}});
            return {false, std::move(loaded.problems)};
        }

        ++status.reloads_ok;
        ++status.config_generation;
        status.config_loaded = std::chrono::system_clock::now();
        auto routing = std::make_shared<Routing>(*loaded.snapshot->routing);
        routing->config_generation = status.config_generation;
        latest.routing = std::move(routing);
        latest.locator = loaded.snapshot->locator;
        latest.trust = loaded.snapshot->trust;
        latest.trusted_ranges = loaded.snapshot->trusted_ranges;
        latest.server_tls = loaded.snapshot->server_tls;
        set_log_level(latest.routing->config.log.level);
        geo.follow(latest.routing->config.geo, latest.locator->databases());
        next_geo = loop.now() + latest.routing->config.geo.watch;
        follow_ranges();
        next_ranges = loop.now() + latest.routing->config.clients.watch;
        follow_state_file();
        if (started) follow_origins(std::move(other));
        // Origin numbers may have moved: both tables are made anew even if they look the same.
        latest.health = make_health();
        latest.addresses = make_addresses();
        headroom.look(latest, loop.now());
        publish();
        log_info("reload", {{"result", "ok"}, {"generation", status.config_generation}});
        if (on_reload) on_reload();
        return {true, std::move(loaded.problems)};
    }

    void report(const std::vector<PassiveReport>& reports) {
        for (const auto& each : reports) {
            const auto found = watches.find(each.routing->origins[each.origin].identity);
            if (found == watches.end()) continue;
            found->second->on_report(each);
            if (!health::is_good(each.result))
                next_traffic = std::min(next_traffic, std::max(loop.now(), traffic_read + traffic_pause));
        }
        // A share of failures is noticed as soon as a row of them, not with the next tick.
        if (next_traffic < next_tick) timer.expires_at(next_traffic);
    }

    void set_ready(bool ready) {
        wanted_ready = ready;
        const bool next = ready && !isolation.isolated();
        if (std::exchange(latest.ready, next) != next) publish();
    }

    OverrideResult override_origin(const OverrideOrder& order) {
        OverrideResult result;
        const auto& origins = latest.routing->origins;
        result.known_origin =
            std::any_of(origins.begin(), origins.end(), [&](const auto& each) { return each.name == order.origin; });
        if (!result.known_origin) return result;
        if (!order.force) result.overload = headroom.overload_by(order, latest);
        if (!result.overload.empty()) {
            log_warning("override_refused", {{"origin", order.origin},
                                             {"override", health::name(order.order)},
                                             {"author", order.author},
                                             {"what", result.overload}});
            return result;
        }
        if (order.order == health::Override::none) {
            overrides.remove(order.origin);
            log_override("override", {order.origin, order.order, order.author, order.why, {}, {}, {}});
        } else {
            result.record = overrides.put(order, std::chrono::system_clock::now(), loop.now());
            log_override("override", *result.record);
        }
        apply_overrides();
        result.not_saved = overrides.save();
        result.saved = result.not_saved.empty();
        if (!result.saved && !overrides.file().empty())
            log_error("overrides_not_saved", {{"what", result.not_saved}, {"held_in_memory", true}});
        return result;
    }

    const Status& refresh_status() {
        status.snapshot_generation = latest.generation;
        status.origins.clear();
        for (const auto& origin : latest.routing->origins) {
            const auto watch = watches.find(origin.identity);
            if (watch != watches.end())
                status.origins.push_back(watch->second->status());
            else
                status.origins.emplace_back().name = origin.name;  // before start()
            if (const auto* order = overrides.find(origin.name)) status.origins.back().by_operator = *order;
        }
        status.headroom = headroom.rows();
        status.isolation = isolation.guard();
        status.control_targets = isolation.targets();
        status.databases.clear();
        for (const auto& each : geo.databases())
            status.databases.push_back({each.database->name(), each.database->type(), each.database->built(),
                                        each.database->errors(), each.failure});
        status.ranges.clear();
        for (const auto& each : ranges.lists())
            status.ranges.push_back({each.ranges.file, each.ranges.service, each.ranges.networks.size(), each.failure});
        status.certificates.clear();
        if (latest.server_tls) status.certificates = latest.server_tls->expiries();
        return status;
    }

    const Snapshot& current() const noexcept { return latest; }

    std::function<void()> on_reload;
    std::shared_ptr<Impl*> self = std::make_shared<Impl*>(this);  ///< lets mail find out that we are gone
    loop::Loop& loop;

private:
    void notify() noexcept override {
        const TimePoint now = loop.now();
        if (now >= next_traffic && now < next_tick) {
            read_traffic();
            timer.expires_at(next_tick);
        }
        if (now < next_tick) return;
        next_tick = now + tick;
        timer.expires_at(next_tick);
        read_traffic();
        for (const auto& [identity, watch] : watches) watch->on_tick();
        if (!isolation.isolated()) look_at_leaders();
        end_overrides();
        headroom.look(latest, now);
        if (now >= next_geo) look_at_databases();
        if (now >= next_ranges) look_at_ranges();
        republish();
    }

    bool needs_other_resolver(const conf::Dns& dns) const {
        const auto same_server = [](const auto& a, const auto& b) { return *a == *b; };
        return !resolver || dns.timeout != resolver_settings.timeout ||
               !std::equal(dns.servers.begin(), dns.servers.end(), resolver_settings.servers.begin(),
                           resolver_settings.servers.end(), same_server);
    }

    /// Watches for the origins of the present configuration: known identities go on, new ones start, others end.
    /// `other` replaces the resolver unless it is null.
    void follow_origins(std::unique_ptr<origin::Resolver> other) {
        const auto& routing = *latest.routing;
        const auto& dns = routing.config.dns;
        // The old one stays until no watch resolves with it any more.
        std::unique_ptr<origin::Resolver> old;
        if (other) old = std::exchange(resolver, std::move(other));
        resolver_settings = dns;
        std::map<std::string, std::unique_ptr<OriginWatch>> next;
        for (std::size_t i = 0; i < routing.origins.size(); ++i) {
            const auto& info = routing.origins[i];
            const auto& origin = routing.config.origins[i];
            auto& watch = next[info.identity];
            if (const auto known = watches.find(info.identity); known != watches.end())
                watch = std::move(known->second);
            else
                watch = std::make_unique<OriginWatch>(around, status.figures[info.name], origin.passive, origin.health);
        }
        watches = std::move(next);
        holding = true;
        for (std::size_t i = 0; i < routing.origins.size(); ++i)
            watches[routing.origins[i].identity]->configure(routing.origins[i], routing.config.origins[i],
                                                            routing.config.failback, dns, *resolver);
        apply_overrides();
        follow_isolation();
        holding = false;
    }

    void follow_isolation() {
        const auto& config = latest.routing->config;
        std::vector<std::string> names;
        for (const auto& origin : latest.routing->origins) names.push_back(origin.name);
        auto grace = config.failover.tls_timeout;
        for (const auto& site : latest.routing->table->sites)
            for (const auto& route : site.routes) grace = std::max(grace, route.limits.head_timeout);
        isolation.configure(config.isolation, names, grace);
    }

    /// One line when it begins and one when it ends; the lines of verdicts that are taken back are not repeated.
    void on_isolation(std::string_view by) {
        const auto& guard = isolation.guard();
        const auto milliseconds_since = [this](TimePoint time) {
            return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(loop.now() - time).count());
        };
        const bool held = std::exchange(holding, true);
        std::string taken_back;
        for (const auto& origin : latest.routing->origins) {
            const auto watch = watches.find(origin.identity);
            if (watch == watches.end()) continue;
            if (!guard.isolated())
                watch->second->end_isolation(guard.ended() - guard.began());
            else if (watch->second->begin_isolation())
                taken_back += (taken_back.empty() ? "" : ",") + origin.name;
        }
        holding = held;
        if (guard.isolated()) {
            ++status.isolations;
            const bool heard = guard.last_answer() != TimePoint{};
            log_error("isolated", {{"silent_ms", heard ? milliseconds_since(guard.last_answer()) : std::uint64_t{0}},
                                   {"taken_back", taken_back.empty() ? std::string{"-"} : taken_back}});
        } else {
            log_warning("isolation_ended", {{"answered", by}, {"after_ms", milliseconds_since(guard.began())}});
        }
        latest.isolated = guard.isolated();
        latest.ready = wanted_ready && !latest.isolated;
        latest.health = make_health();
        latest.addresses = make_addresses();
        publish();
    }

    void apply_overrides() {
        for (const auto& origin : latest.routing->origins) {
            const auto watch = watches.find(origin.identity);
            const auto* order = overrides.find(origin.name);
            if (watch != watches.end()) watch->second->set_override(order ? order->order : health::Override::none);
        }
    }

    void end_overrides() {
        const auto ended = overrides.take_ended(loop.now());
        if (ended.empty()) return;
        for (const auto& record : ended) log_override("override_expired", record);
        apply_overrides();
        save_overrides();
    }

    void save_overrides() {
        if (overrides.file().empty()) return;
        if (const auto problem = overrides.save(); !problem.empty())
            log_error("overrides_not_saved", {{"what", problem}, {"held_in_memory", true}});
    }

    /// Another file gets what holds now, also if that is nothing: what it held before must not come back later.
    void follow_state_file() {
        const auto file = state_file_of(latest.routing->config.admin);
        if (file == overrides.file()) return;
        overrides.set_file(file);
        save_overrides();
    }

    std::shared_ptr<const health::Table> make_health() {
        auto table = std::make_shared<health::Table>();
        table->generation = latest.generation + 1;
        for (const auto& origin : latest.routing->origins) {
            const auto watch = watches.find(origin.identity);
            table->origins.push_back(watch == watches.end() ? health::OriginHealth{} : watch->second->health());
        }
        for (const auto& site : latest.routing->table->sites) {
            const auto leader = leaders.find(site.name);
            const bool kept = leader != leaders.end() && leader->second.origin();
            table->leaders.push_back(kept ? *leader->second.origin() : -1);
        }
        return table;
    }

    /// Which origin each site by latency keeps to. By name: a reload forgets nothing.
    void look_at_leaders() {
        std::map<std::string, health::Leader> next;
        const auto& table = *latest.routing->table;
        for (const auto& site : table.sites) {
            if (site.policy != conf::Policy::latency) continue;
            std::vector<health::Leader::Candidate> candidates;
            for (const auto id : site.failover_order) {
                const auto& health = latest.health->origins[id];
                const bool measured = health.rtt_ms >= 0;
                candidates.push_back(
                    {static_cast<std::uint16_t>(id),
                     measured ? static_cast<std::int32_t>(std::lround(std::min(health.rtt_ms, 1e6))) : -1,
                     table.origins[id].weight, health.state.eligible() && health.share == health::Failback::everyone});
            }
            auto& leader = next[site.name] = leaders[site.name];
            if (leader.look(candidates, loop.now()) && leader.origin())
                log_info("leader", {{"site", site.name}, {"origin", table.origins[*leader.origin()].name}});
        }
        leaders = std::move(next);
    }

    std::shared_ptr<const Addresses> make_addresses() const {
        auto addresses = std::make_shared<Addresses>();
        for (const auto& origin : latest.routing->origins) {
            const auto watch = watches.find(origin.identity);
            addresses->by_origin.push_back(watch == watches.end() ? std::vector<Endpoint>{}
                                                                  : watch->second->endpoints());
        }
        return addresses;
    }

    /// Publishes what has changed, if anything has: unchanged parts stay the same objects.
    void republish() {
        if (holding) return;
        auto health = make_health();
        auto addresses = make_addresses();
        const bool new_health =
            !same(health->origins, latest.health->origins) || health->leaders != latest.health->leaders;
        const bool new_addresses =
            !std::equal(addresses->by_origin.begin(), addresses->by_origin.end(), latest.addresses->by_origin.begin(),
                        latest.addresses->by_origin.end(), [](const auto& a, const auto& b) { return same(a, b); });
        if (new_health) latest.health = std::move(health);
        if (new_addresses) latest.addresses = std::move(addresses);
        if (new_health || new_addresses) publish();
        look_at_first_round();
    }

    void publish() {
        ++latest.generation;
        board.publish(std::make_shared<const Snapshot>(latest));
    }

    void look_at_first_round() {
        if (!on_first_round) return;
        const bool decided =
            !isolation.in_doubt() &&
            std::all_of(watches.begin(), watches.end(), [](const auto& watch) { return watch.second->decided(); });
        if (!decided && loop.now() < first_round_ends) return;
        // Not from here: this may be the inside of a probe, and the callee may do anything.
        loop.post(std::exchange(on_first_round, nullptr));
    }

    void look_at_databases() {
        next_geo = loop.now() + latest.routing->config.geo.watch;
        const auto found = geo.look();
        status.databases_replaced += found.replaced;
        status.databases_refused += found.refused;
        if (found.replaced == 0) return;
        latest.locator = build_locator(latest.routing->config.geo, geo.in_use());
        publish();
    }

    void follow_ranges() {
        ranges.follow(latest.trusted_ranges ? *latest.trusted_ranges : std::vector<TrustedRanges>{});
    }

    void look_at_ranges() {
        const auto& clients = latest.routing->config.clients;
        next_ranges = loop.now() + clients.watch;
        const auto found = ranges.look();
        status.ranges_replaced += found.replaced;
        status.ranges_refused += found.refused;
        if (found.replaced == 0) return;
        latest.trusted_ranges = std::make_shared<const std::vector<TrustedRanges>>(ranges.in_use());
        latest.trust = make_trust(clients, *latest.trusted_ranges);
        publish();
    }

    /// What workers counted since the last look, for the rule on shares of failures.
    void read_traffic() {
        const TimePoint since = std::exchange(traffic_read, loop.now());
        next_traffic = TimePoint::max();
        std::map<std::string, OriginWatch*> by_name;
        for (const auto& origin : latest.routing->origins) by_name[origin.name] = watches[origin.identity].get();
        for (const auto& [name, blocks] : registry.pools()) {
            Traffic now;
            for (const auto& block : blocks) {
                if (!block) continue;  // that worker has not used the origin yet
                now.ok += block->ok.get();
                now.failed += block->failed.get();
            }
            const Traffic before = std::exchange(traffic[name], now);
            const auto found = by_name.find(name);
            if (found != by_name.end())
                found->second->on_traffic(now.ok - before.ok, now.failed - before.failed, since);
        }
    }

    struct Traffic {
        std::uint64_t ok = 0, failed = 0;
    };

    Board& board;
    admin::Registry& registry;
    const wire::TicketKeys keys;
    Snapshot latest;
    Status status;
    GeoWatch geo;
    RangesWatch ranges;
    Overrides overrides;
    std::minstd_rand random{std::random_device{}()};
    std::map<std::string, Traffic> traffic;         // by origin name
    std::map<std::string, health::Leader> leaders;  // by site name
    HeadroomWatch headroom{registry};
    bool started = false;
    bool wanted_ready = false;  // but for isolation
    bool holding = false;       // several changes are under way: one publication for all
    std::function<void()> on_first_round;
    TimePoint first_round_ends{}, next_tick{}, next_geo{}, next_ranges{};
    TimePoint traffic_read{}, next_traffic = TimePoint::max();
    loop::Timer timer{loop, *this};
    std::function<double()> dice = [this] { return std::uniform_real_distribution<double>{0, 1}(random); };
    IsolationWatch isolation{
        loop, dice, {[this] { read_traffic(); }, [this](std::string_view by) { on_isolation(by); }}};
    OriginWatch::Surroundings around{loop, dice, [this] { republish(); }, isolation, registry};
    conf::Dns resolver_settings;
    std::unique_ptr<origin::Resolver> resolver;
    std::map<std::string, std::unique_ptr<OriginWatch>> watches;  // by identity; last: they use all of the above
};

Control::Control(loop::Loop& loop, Board& board, admin::Registry& registry, Snapshot first,
                 const wire::TicketKeys& keys)
    : impl_{std::make_unique<Impl>(loop, board, registry, std::move(first), keys)} {}

Control::~Control() = default;

void Control::start(std::function<void()> on_first_round) { impl_->start(std::move(on_first_round)); }

void Control::report(std::vector<PassiveReport> reports) {
    impl_->loop.post([gone = std::weak_ptr{impl_->self}, batch = std::move(reports)] {
        if (const auto self = gone.lock()) (*self)->report(batch);
    });
}

Control::ReloadResult Control::reload() { return impl_->reload(); }
void Control::on_reload(std::function<void()> then) { impl_->on_reload = std::move(then); }
Control::OverrideResult Control::override_origin(const OverrideOrder& order) { return impl_->override_origin(order); }
void Control::set_ready(bool ready) { impl_->set_ready(ready); }
const Snapshot& Control::current() const noexcept { return impl_->current(); }
const Control::Status& Control::status() { return impl_->refresh_status(); }

}  // namespace nearhop::run
