#include "conf/parse.h"
#include "proxy/steering/decision.h"
#include "proxy/steering/locate.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <new>
#include <string>

/// The pure part of every request: locate, site_of, decide. `allocations` must print as 0; the bar for decide with
/// three origins is 150 ns.
namespace {
std::size_t allocations = 0;
}

// Not inlined: GCC would see free() of what a visible operator new made, and call it a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
    throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    ++allocations;
    return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace nearhop::steering {
namespace {

std::shared_ptr<const Table> table_of(const std::string& policy, std::size_t origins) {
    constexpr const char* regions[] = {"us-east-1", "eu-west-1",  "ap-southeast-1", "us-west-2",
                                       "sa-east-1", "eu-north-1", "ap-northeast-1", "ca-central-1"};
    std::string yaml = "listen: 127.0.0.1:0\ntls: {certificate: c.pem, private_key: k.pem}\norigins:\n";
    for (std::size_t i = 0; i < origins; ++i) yaml += "  " + std::string{regions[i]} + ": https://o.example.com\n";
    yaml += "sites:\n  main:\n    default: true\n    hosts: [www.example.com, '*.example.net']\n    policy: " + policy +
            "\n    writes: us-east-1\n    routes: [{path: /static, methods: [GET]}, {path: /api/v2}]\n";
    if (policy == "country") yaml += "    countries: {eu: [eu-west-1], default: [us-east-1]}\n";
    const auto parsed = conf::parse(yaml, "bench.yaml");
    conf::Problems problems = parsed.problems;
    auto table = parsed.config ? build_table(*parsed.config, problems) : nullptr;
    if (!table) {
        for (const auto& problem : problems) std::fprintf(stderr, "%s\n", to_string(problem, "bench.yaml").c_str());
        std::exit(1);
    }
    return table;
}

void report(benchmark::State& state, std::size_t before) {
    const std::size_t made = allocations - before;
    state.counters["allocations"] = static_cast<double>(made);
    if (made != 0) state.SkipWithError("allocated on the request path");
}

void run_decide(benchmark::State& state, const char* policy, const geo::Place& place) {
    const auto table = table_of(policy, static_cast<std::size_t>(state.range(0)));
    health::Table health;
    health.origins.resize(table->origins.size());
    for (auto& origin : health.origins) {
        origin.state.verdict = health::Verdict::up;
        origin.rtt_ms = 40;
    }
    Decision decision;
    Facts facts{.site = 0, .method = "GET", .path = "/api/v1/items/42"};
    const std::size_t before = allocations;
    for (auto _ : state) {
        benchmark::DoNotOptimize(facts);
        decide(facts, place, *table, health, Local{}, Earlier{}, decision);
        benchmark::DoNotOptimize(decision);
    }
    report(state, before);
}

geo::Place germany() { return geo::place_of(*geo::Country::parse("DE"), geo::Source::header); }
geo::Place berlin() {
    return geo::place_of(*geo::point_at(52.5, 13.4), geo::Country::parse("DE"), geo::Source::header);
}

void decide_country(benchmark::State& state, const char* policy) { run_decide(state, policy, germany()); }
void decide_point(benchmark::State& state, const char* policy) { run_decide(state, policy, berlin()); }
BENCHMARK_CAPTURE(decide_country, nearest, "nearest")->Arg(3)->Arg(8);
BENCHMARK_CAPTURE(decide_country, country, "country")->Arg(3)->Arg(8);
BENCHMARK_CAPTURE(decide_country, failover, "failover")->Arg(3)->Arg(8);
BENCHMARK_CAPTURE(decide_country, latency, "latency")->Arg(3)->Arg(8);
BENCHMARK_CAPTURE(decide_point, nearest, "nearest")->Arg(3)->Arg(8);
BENCHMARK_CAPTURE(decide_point, latency, "latency")->Arg(3)->Arg(8);

void site_of(benchmark::State& state, const char* host) {
    const auto table = table_of("nearest", 3);
    std::string_view name{host};
    const std::size_t before = allocations;
    for (auto _ : state) {
        benchmark::DoNotOptimize(name);
        benchmark::DoNotOptimize(table->site_of(name));
    }
    report(state, before);
}
BENCHMARK_CAPTURE(site_of, exact, "www.example.com");
BENCHMARK_CAPTURE(site_of, wildcard, "a.b.Example.net:443");

void run_locate(benchmark::State& state, bool trusted, const ViewerFields& fields) {
    const geo::Locator locator{{}, {geo::Database::open_embedded().database}};
    const Trust trust{{{geo::Cidr::parse("10.0.0.0/8"), "", ""}}};
    auto peer = *geo::Address::parse(trusted ? "10.0.0.1" : "88.198.0.1");
    locate(peer, trusted, fields, trust, locator);
    const std::size_t before = allocations;
    for (auto _ : state) {
        benchmark::DoNotOptimize(peer);
        benchmark::DoNotOptimize(locate(peer, trusted, fields, trust, locator));
    }
    report(state, before);
}

void locate_peer(benchmark::State& state) { run_locate(state, false, {}); }
void locate_country_header(benchmark::State& state) {
    ViewerFields fields;
    fields.country = "DE";
    run_locate(state, true, fields);
}
void locate_all_viewer_fields(benchmark::State& state) {
    ViewerFields fields;
    fields.country = "DE";
    fields.country_region = "BE";
    fields.address = "88.198.0.1:54321";
    fields.latitude = "52.52437";
    fields.longitude = "13.41053";
    run_locate(state, true, fields);
}
void locate_forwarded_for(benchmark::State& state) {
    ViewerFields fields;
    fields.forwarded_for.add("88.198.0.1, 10.0.0.7, 10.0.0.8");
    run_locate(state, true, fields);
}
BENCHMARK(locate_peer);
BENCHMARK(locate_country_header);
BENCHMARK(locate_all_viewer_fields);
BENCHMARK(locate_forwarded_for);

}  // namespace
}  // namespace nearhop::steering

BENCHMARK_MAIN();
