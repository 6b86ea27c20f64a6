#include "geo/catalogue.h"
#include "geo/locator.h"
#include "geo/ranking.h"

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

// The geographic part of one request. Addresses vary from one lookup to the next: a single one would measure the cache.
namespace nearhop::geo {
namespace {

std::vector<Address> public_addresses() {
    std::mt19937 random{1};
    std::vector<Address> addresses;
    while (addresses.size() < 4096) {
        const Address address = Address::v4(static_cast<std::uint32_t>(random()));
        if (!address.is_special()) addresses.push_back(address);
    }
    return addresses;
}

std::vector<OriginPoint> three_origins() {
    return {
        {find_region("us-east-1")->point}, {find_region("eu-west-1")->point}, {find_region("ap-southeast-1")->point}};
}

Country germany() { return Country::parse("DE").value(); }

void locate_in_embedded_database(benchmark::State& state) {
    const Locator locator{{}, {Database::open_embedded().database}};
    const auto addresses = public_addresses();
    std::size_t next = 0;
    for (auto _ : state) benchmark::DoNotOptimize(locator.locate(addresses[next++ % addresses.size()]));
}
BENCHMARK(locate_in_embedded_database);

void locate_one_address_again(benchmark::State& state) {
    const Locator locator{{}, {Database::open_embedded().database}};
    const Address address = Address::v4(0x08080808);
    for (auto _ : state) benchmark::DoNotOptimize(locator.locate(address));
}
BENCHMARK(locate_one_address_again);

void locate_by_override(benchmark::State& state) {
    const std::vector<Override> overrides{{Cidr::parse("10.0.0.0/8").value(), germany(), std::nullopt, false},
                                          {Cidr::parse("10.1.0.0/16").value(), germany(), std::nullopt, false},
                                          {Cidr::parse("2001:db8::/32").value(), germany(), std::nullopt, false}};
    const Locator locator{overrides, {}};
    const Address address = Address::v4(0x0a010203);
    for (auto _ : state) benchmark::DoNotOptimize(locator.locate(address));
}
BENCHMARK(locate_by_override);

/// A CDN's networks as they are listed: many lengths, some nested, a third of them IPv6.
CidrTable listed_networks(std::int64_t count) {
    std::mt19937 random{2};
    std::vector<std::pair<Cidr, std::uint32_t>> networks;
    while (networks.size() < static_cast<std::size_t>(count)) {
        const bool v4 = networks.size() % 3 != 0;
        const unsigned bits =
            v4 ? 96 + 15 + static_cast<unsigned>(random() % 14) : 28 + static_cast<unsigned>(random() % 21);
        Address::Bytes bytes = Address::v4(static_cast<std::uint32_t>(random())).bytes();
        if (!v4) {
            bytes = {0x26, 0x00};
            for (std::size_t i = 2; i < 6; ++i) bytes[i] = static_cast<std::uint8_t>(random());
        }
        for (unsigned bit = bits; bit < 128; ++bit)
            bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] & ~(0x80U >> (bit % 8)));
        networks.emplace_back(Cidr{Address{bytes}, bits}, 1);
    }
    return CidrTable{std::move(networks)};
}

void find_among_networks(benchmark::State& state) {
    const CidrTable table = listed_networks(state.range(0));
    const auto addresses = public_addresses();
    std::size_t next = 0;
    for (auto _ : state) benchmark::DoNotOptimize(table.contains(addresses[next++ % addresses.size()]));
}
BENCHMARK(find_among_networks)->Arg(1)->Arg(50)->Arg(500)->Arg(8000);

void order_three_origins_from_a_point(benchmark::State& state) {
    const auto origins = three_origins();
    std::vector<Point> points;
    for (double longitude = -179; longitude < 180; longitude += 1.7)
        points.push_back(point_at(longitude / 3, longitude).value());
    Order order;
    std::size_t next = 0;
    for (auto _ : state) {
        order_by_distance(points[next++ % points.size()], origins, order);
        benchmark::DoNotOptimize(order);
    }
}
BENCHMARK(order_three_origins_from_a_point);

void rank_by_country(benchmark::State& state) {
    const Ranking ranking{three_origins()};
    const Country country = germany();
    for (auto _ : state) benchmark::DoNotOptimize(ranking.of(country));
}
BENCHMARK(rank_by_country);

void open_embedded_database(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(Database::open_embedded());
}
BENCHMARK(open_embedded_database)->Unit(benchmark::kMillisecond);

void build_ranking(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(Ranking{three_origins()});
}
BENCHMARK(build_ranking)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace nearhop::geo

BENCHMARK_MAIN();
