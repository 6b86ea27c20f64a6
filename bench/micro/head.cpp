#include "proxy/wire/head.h"

#include "proxy/wire/framing.h"

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace nearhop::wire;

/// A browser's request: 12 fields, about 600 bytes.
const std::string browser =
    "GET /api/v1/items?page=2&sort=name HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36\r\n"
    "Accept: application/json, text/plain, */*\r\nAccept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, br\r\n"
    "Referer: https://www.example.com/items\r\nOrigin: https://www.example.com\r\nSec-Fetch-Mode: cors\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nIf-None-Match: \"5e1c56a\"\r\n"
    "X-Forwarded-For: 203.0.113.5\r\n\r\n";
const std::string answer =
    "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: "
    "1024\r\n"
    "Cache-Control: no-cache\r\nETag: \"5e1c56a\"\r\nVary: Accept-Encoding\r\nConnection: keep-alive\r\n\r\n";

void scan(benchmark::State& state) {
    for (auto _ : state) {
        HeadScan scan;
        benchmark::DoNotOptimize(scan.scan(browser));
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(browser.size()));
}
BENCHMARK(scan);

void parse_a_request(benchmark::State& state) {
    RequestHead head;
    for (auto _ : state) benchmark::DoNotOptimize(parse_request(browser, 100, head));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(browser.size()));
}
BENCHMARK(parse_a_request);

void parse_a_response(benchmark::State& state) {
    ResponseHead head;
    for (auto _ : state) benchmark::DoNotOptimize(parse_response(answer, 100, head));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(answer.size()));
}
BENCHMARK(parse_a_response);

}  // namespace

BENCHMARK_MAIN();
