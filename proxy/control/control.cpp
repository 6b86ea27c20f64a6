#include "proxy/control/control.h"

#include "proxy/account/logging.h"
#include "proxy/control/headroom_watch.h"
#include "proxy/control/isolation_watch.h"
#include "proxy/control/leader_watch.h"
#include "proxy/control/origin_watches.h"
#include "proxy/control/override_watch.h"
#include "proxy/control/start_only.h"
#include "proxy/control/status.h"
#include "proxy/control/traffic_watch.h"
#include "proxy/control/watched_files.h"
#include "proxy/loop/background.h"
#include "proxy/loop/keeper.h"
#include "proxy/loop/turn.h"
#include "proxy/setup/build.h"
#include "proxy/setup/trusted.h"
#include "proxy/shared/failures.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <utility>

namespace nearhop::control {
namespace {

using loop::milliseconds;
using loop::TimePoint;

constexpr milliseconds traffic_pause{50};         ///< between two looks at traffic counters because of failures
constexpr milliseconds tick{1'000};               ///< traffic counters, round trips, watched files
constexpr milliseconds first_round_limit{5'000};  ///< then clients are served, whatever is still unknown
constexpr milliseconds disk_patience{2'000};      ///< for what is being read or written when the process ends

/// What a reload read.
struct Loaded : setup::BuildResult {
    std::optional<OverrideWatch::OtherFile> orders{};  ///< set where admin.state_file is another one
};

}  // namespace

struct Control::Impl final : private loop::Notify {
    Impl(loop::Loop& owner, shared::Board& where, shared::Registry& counters, shared::Snapshot first,
         const wire::TicketKeys& tickets)
        : loop{owner},
          board{where},
          registry{counters},
          keys{tickets},
          latest{std::move(first)},
          start_only{latest.routing->config} {
        status.config_loaded = std::chrono::system_clock::now();
        status.config_generation = latest.routing->config_generation;
        files.follow(latest, loop.now());
        publish();
        overrides.restore(latest.routing->config.admin, loop.now());
    }

    void start(std::function<void()> then) {
        on_first_round = std::move(then);
        started = true;
        follow_origins(watches.other_resolver(latest.routing->config.dns));
        next_tick = loop.now() + tick;
        first_round_ends = loop.now() + first_round_limit;
        timer.expires_at(next_tick);
        headroom.look(latest, loop.now());
        republish(true);
        looking = loop::keep(
            loop, [this] { return keep_looking_at_files(); }, shared::noting(registry, account::Duty::files));
        looking.start();
    }

    loop::Task<ReloadResult> reload() {
        const auto turn = co_await reloads.take();
        Loaded loaded;
        auto read = [file = latest.routing->config.file, tickets = keys, present = overrides.file()] {
            Loaded found{setup::load(file, tickets, conf::Accept::regular_file)};
            if (found.snapshot) found.orders = OverrideWatch::look_at(found.snapshot->routing->config.admin, present);
            return found;
        };
        try {
            loaded = co_await disk.run(std::move(read));
        } catch (const std::exception& error) {  // no memory, or no thread
            loaded.problems.push_back({conf::Severity::error, {}, {}, std::string{"not read: "} + error.what()});
        }
        co_return take(std::move(loaded));
    }

    /// What a configuration has to pass in the light of the one in force, and then takes its place.
    ReloadResult take(Loaded loaded) {
        std::unique_ptr<Resolver> other;
        const auto refuse_errors = [&] {
            if (conf::has_errors(loaded.problems)) loaded.snapshot.reset();
        };
        if (loaded.snapshot) {
            const auto& config = loaded.snapshot->routing->config;
            setup::refuse_short_ranges(latest, *loaded.snapshot, config.clients, loaded.problems);
            if (loaded.orders && !loaded.orders->problem.empty())
                loaded.problems.push_back({conf::Severity::error, config.admin.state_file.mark, "admin.state_file",
                                           "want a file of overrides or none, found " + loaded.orders->problem});
            refuse_errors();
        }
        if (loaded.snapshot) {
            try {
                other = watches.other_resolver(loaded.snapshot->routing->config.dns);
            } catch (const std::runtime_error& error) {
                loaded.problems.push_back({conf::Severity::error, {}, "dns", error.what()});
                loaded.snapshot.reset();
            }
        }
        if (loaded.snapshot && before_reload) {
            before_reload(loaded.snapshot->routing->config, loaded.problems);
            refuse_errors();
        }
        if (loaded.snapshot) start_only.compare(loaded.snapshot->routing->config, loaded.problems);
        status.reload_problems = loaded.problems;
        for (const auto& problem : loaded.problems)
            account::log_event(
                problem.severity == conf::Severity::error ? account::LogLevel::error : account::LogLevel::warning,
                "config_problem", {{"problem", conf::to_string(problem, latest.routing->config.file)}});
        if (!loaded.snapshot) {
            ++status.reloads_failed;
            account::log_error("reload", {{"result", "refused"}, {"kept_generation", status.config_generation}});
            return {false, std::move(loaded.problems)};
        }

        ++status.reloads_ok;
        ++status.config_generation;
        status.config_loaded = std::chrono::system_clock::now();
        auto routing = std::make_shared<shared::Routing>(*loaded.snapshot->routing);
        routing->config_generation = status.config_generation;
        latest.routing = std::move(routing);
        leaders.follow(*latest.routing->table);
        latest.locator = loaded.snapshot->locator;
        latest.trust = loaded.snapshot->trust;
        latest.trusted_ranges = loaded.snapshot->trusted_ranges;
        latest.server_tls = loaded.snapshot->server_tls;
        latest.admin_tls = loaded.snapshot->admin_tls;
        account::set_log_level(latest.routing->config.log.level);
        files.follow(latest, loop.now());
        if (loaded.orders) overrides.follow(*loaded.orders);
        if (started) follow_origins(std::move(other));
        std::erase_if(status.figures, [this](const auto& each) { return !watches.find(each.first); });
        has_old_rows = true;
        // Origin numbers may have moved: both tables are rebuilt even if they look the same.
        latest.health = make_health();
        latest.addresses = make_addresses();
        headroom.look(latest, loop.now());
        publish();
        account::log_info("reload", {{"result", "ok"}, {"generation", status.config_generation}});
        if (on_reload) on_reload();
        return {true, std::move(loaded.problems)};
    }

    void report(const std::vector<shared::PassiveReport>& reports) {
        for (const auto& each : reports) {
            auto* watch = each.routing == latest.routing ? watches.find(each.origin)
                                                         : watches.find(each.routing->origins[each.origin]);
            if (!watch) continue;
            watch->on_report(each);
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

    loop::Task<OverrideResult> override_origin(OverrideOrder order) {
        OverrideResult result;
        result.known_origin = has_origin(order.origin);
        if (!result.known_origin) co_return result;
        if (!order.force) result.overload = headroom.overload_by(order, latest);
        if (!result.overload.empty()) {
            account::log_warning("override_refused", {{"origin", order.origin},
                                                      {"override", health::name(order.order)},
                                                      {"author", order.author},
                                                      {"what", result.overload}});
            co_return result;
        }
        result.record = overrides.take(order, loop.now());
        watches.apply(overrides, *latest.routing);
        republish(false);  // the author of the order may rely on it
        result.not_saved = co_await overrides.save();
        result.saved = result.not_saved.empty();
        co_return result;
    }

    const Status& refresh_status() {
        status.snapshot_generation = latest.generation;
        status.origins.clear();
        status.origins.reserve(latest.routing->origins.size());
        for (const auto& origin : latest.routing->origins) {
            if (const auto* watch = watches.find(static_cast<geo::OriginId>(status.origins.size())))
                status.origins.push_back(watch->status());
            else
                status.origins.emplace_back().name = origin.name;  // before start()
            if (const auto* order = overrides.find(origin.name)) status.origins.back().by_operator = *order;
        }
        status.headroom = headroom.rows();
        status.isolation = isolation.guard();
        status.control_targets = isolation.targets();
        files.show(status);
        status.certificates.clear();
        for (const auto& tls : {latest.server_tls, latest.admin_tls})
            if (tls) add_certificates(tls->expiries());
        return status;
    }

    const shared::Snapshot& current() const noexcept { return latest; }

    std::function<void(const conf::Config&, conf::Problems&)> before_reload;
    std::function<void()> on_reload, on_new_files;
    std::shared_ptr<Impl*> self = std::make_shared<Impl*>(this);  ///< lets mail find out that we are gone
    loop::Loop& loop;

private:
    void notify() noexcept override {
        try {
            on_time();
        } catch (const std::exception& error) {
            shared::note_failure(registry, account::Duty::tick, error);
        }
    }

    void on_time() {
        const TimePoint now = loop.now();
        if (now < next_tick) {
            timer.expires_at(next_tick);
            if (now >= next_traffic) read_traffic();
            return;
        }
        next_tick = now + tick;
        timer.expires_at(next_tick);
        read_traffic();
        watches.on_tick();
        if (!isolation.isolated()) leaders.look(*latest.routing->table, *latest.health, now);
        end_overrides();
        headroom.look(latest, now);
        forget_old_rows();
        republish(true);
    }

    void follow_origins(std::unique_ptr<Resolver> other) {
        holding = true;
        watches.follow(*latest.routing, std::move(other), status.figures);
        watches.apply(overrides, *latest.routing);
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
        if (guard.isolated()) {
            for (const auto& name : watches.begin_isolation(*latest.routing))
                taken_back += (taken_back.empty() ? "" : ",") + name;
        } else {
            watches.end_isolation(*latest.routing, guard.ended() - guard.began());
        }
        holding = held;
        if (guard.isolated()) {
            ++status.isolations;
            const bool heard = guard.last_answer() != TimePoint{};
            account::log_error("isolated",
                               {{"silent_ms", heard ? milliseconds_since(guard.last_answer()) : std::uint64_t{0}},
                                {"taken_back", taken_back.empty() ? std::string{"-"} : taken_back}});
        } else {
            account::log_warning("isolation_ended",
                                 {{"answered", by}, {"after_ms", milliseconds_since(guard.began())}});
        }
        latest.isolated = guard.isolated();
        latest.ready = wanted_ready && !latest.isolated;
        latest.health = make_health();
        latest.addresses = make_addresses();
        publish();
    }

    void end_overrides() {
        if (!overrides.end(loop.now())) return;
        watches.apply(overrides, *latest.routing);
        overrides.save_soon();
    }

    loop::Task<> keep_looking_at_files() {
        loop::Wake wake{loop};
        loop::Timer timer_of_files{loop, wake};
        for (;;) {
            timer_of_files.expires_after(tick);
            while (!timer_of_files.expired()) co_await wake.wait();
            const bool databases = co_await files.look_at_databases(latest, disk, loop.now());
            const bool ranges = co_await files.look_at_ranges(latest, disk, loop.now());
            if (!databases && !ranges) continue;
            publish();
            if (on_new_files) on_new_files();
        }
    }

    bool has_origin(std::string_view name) const noexcept {
        const auto& origins = latest.routing->origins;
        return std::any_of(origins.begin(), origins.end(), [&](const auto& each) { return each.name == name; });
    }

    /// Forgets counters of sites and origins that left the configuration, once nothing goes on there. A request of an
    /// older configuration may make some again, so this also runs now and then.
    void forget_old_rows() {
        if (!has_old_rows && ++ticks % 64 != 0) return;
        std::set<std::string_view> sites, origins;
        for (const auto& site : latest.routing->table->sites) sites.insert(site.name);
        for (const auto& origin : latest.routing->origins) origins.insert(origin.name);
        has_old_rows = !registry.retain(sites, origins);
    }

    /// A file may serve both listeners and the admin listener: it is listed once.
    void add_certificates(const std::vector<wire::ServerTls::Expiry>& more) {
        const auto& known = status.certificates;
        for (const auto& each : more)
            if (std::none_of(known.begin(), known.end(),
                             [&](const auto& other) { return other.certificate == each.certificate; }))
                status.certificates.push_back(each);
    }

    std::shared_ptr<const health::Table> make_health() {
        auto table = std::make_shared<health::Table>();
        table->generation = latest.generation + 1;
        table->origins = watches.health(*latest.routing);
        table->leaders = leaders.leaders(*latest.routing->table);
        return table;
    }

    std::shared_ptr<const shared::Addresses> make_addresses() {
        return std::make_shared<const shared::Addresses>(watches.addresses(*latest.routing));
    }

    /// An origin changed. Published once for all that change in the same turn of the loop: when a region of a thousand
    /// origins dies, its probes fail together.
    void republish_soon() {
        if (holding || std::exchange(is_due, true)) return;
        loop.post([gone = std::weak_ptr{self}] {
            if (const auto here = gone.lock()) (*here)->republish(false);
        });
    }

    /// Publishes what has changed, if anything has: unchanged parts stay the same objects. `all`: also of origins that
    /// announced nothing.
    void republish(bool all) {
        is_due = false;
        if (holding) return;
        auto health = watches.changed_health(latest.health->origins, all);
        auto addresses = watches.changed_addresses(*latest.addresses, all);
        auto led = all ? leaders.leaders(*latest.routing->table) : latest.health->leaders;
        if (health || led != latest.health->leaders) {
            auto table = std::make_shared<health::Table>();
            table->generation = latest.generation + 1;
            if (health)
                table->origins = std::move(*health);
            else
                table->origins = latest.health->origins;
            table->leaders = std::move(led);
            latest.health = std::move(table);
            health.emplace();
        }
        if (addresses) latest.addresses = std::make_shared<const shared::Addresses>(std::move(*addresses));
        if (health || addresses) publish();
        look_at_first_round();
    }

    void publish() {
        ++latest.generation;
        board.publish(std::make_shared<const shared::Snapshot>(latest));
    }

    void look_at_first_round() {
        if (!on_first_round) return;
        const bool decided = !isolation.in_doubt() && watches.decided();
        if (!decided && loop.now() < first_round_ends) return;
        // Not from here: this may be the inside of a probe, and the callee may do anything.
        loop.post([gone = std::weak_ptr{self}] {
            if (const auto here = gone.lock())
                if (const auto then = std::exchange((*here)->on_first_round, nullptr)) then();
        });
    }

    /// What workers counted since the last look, for the rule on shares of failures.
    void read_traffic() {
        const TimePoint since = std::exchange(traffic_read, loop.now());
        next_traffic = TimePoint::max();
        for (const auto& [name, counted] : traffic.look())
            if (auto* watch = watches.find(name)) watch->on_traffic(counted.ok, counted.failed, since);
    }

    shared::Board& board;
    shared::Registry& registry;
    const wire::TicketKeys keys;
    shared::Snapshot latest;
    const StartOnly start_only;
    Status status;
    loop::Background disk{loop, disk_patience};
    loop::Turn reloads{loop};
    WatchedFiles files;
    OverrideWatch overrides{loop, disk, shared::noting(registry, account::Duty::orders)};
    std::minstd_rand random{std::random_device{}()};
    TrafficWatch traffic{registry};
    LeaderWatch leaders;
    HeadroomWatch headroom{registry};
    bool started = false;
    bool wanted_ready = false;  // but for isolation
    bool has_old_rows = false;  // in the registry
    unsigned ticks = 0;
    bool is_due = false;   // republish_soon()
    bool holding = false;  // several changes are under way: one publication for all
    std::function<void()> on_first_round;
    TimePoint first_round_ends{}, next_tick{};
    TimePoint traffic_read{}, next_traffic = TimePoint::max();
    loop::Timer timer{loop, *this};
    std::function<double()> dice = [this] { return std::uniform_real_distribution<double>{0, 1}(random); };
    IsolationWatch isolation{loop,
                             dice,
                             {[this] { read_traffic(); }, [this](std::string_view by) { on_isolation(by); },
                              shared::noting(registry, account::Duty::control_target)}};
    OriginWatches watches{{loop, dice, [this] { republish_soon(); }, isolation, registry}};
    loop::Task<> looking;  // last, as the watches are: they use all of the above
};

Control::Control(loop::Loop& loop, shared::Board& board, shared::Registry& registry, shared::Snapshot first,
                 const wire::TicketKeys& keys)
    : impl_{std::make_unique<Impl>(loop, board, registry, std::move(first), keys)} {}

Control::~Control() = default;

void Control::start(std::function<void()> on_first_round) { impl_->start(std::move(on_first_round)); }

void Control::report(std::vector<shared::PassiveReport> reports) {
    impl_->loop.post([gone = std::weak_ptr{impl_->self}, batch = std::move(reports)] {
        if (const auto self = gone.lock()) (*self)->report(batch);
    });
}

loop::Task<Control::ReloadResult> Control::reload() { return impl_->reload(); }
void Control::before_reload(std::function<void(const conf::Config&, conf::Problems&)> prepare) {
    impl_->before_reload = std::move(prepare);
}
void Control::on_reload(std::function<void()> then) { impl_->on_reload = std::move(then); }
void Control::on_new_files(std::function<void()> then) { impl_->on_new_files = std::move(then); }
loop::Task<Control::OverrideResult> Control::override_origin(OverrideOrder order) {
    return impl_->override_origin(std::move(order));
}
void Control::set_ready(bool ready) { impl_->set_ready(ready); }
const shared::Snapshot& Control::current() const noexcept { return impl_->current(); }
const Control::Status& Control::status() { return impl_->refresh_status(); }

}  // namespace nearhop::control
