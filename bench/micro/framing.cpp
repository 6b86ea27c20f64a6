#include "proxy/wire/framing.h"

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace nearhop::wire;

void frame(benchmark::State& state, const std::string& bytes) {
    RequestHead head;
    if (parse_request(bytes, 100, head) != HeadError::none) return state.SkipWithError("not a head");
    for (auto _ : state) {
        benchmark::DoNotOptimize(request_framing(head));
        benchmark::DoNotOptimize(keeps_alive(head.minor, head.fields));
    }
}
BENCHMARK_CAPTURE(frame, none, "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n");
BENCHMARK_CAPTURE(frame, length, "POST / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nContent-Length: 12345\r\n\r\n");
BENCHMARK_CAPTURE(frame, chunked, "POST / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n\r\n");

void classify_names(benchmark::State& state) {
    constexpr std::string_view names[] = {"Host",   "User-Agent",     "Accept",         "X-Forwarded-For",
                                          "Cookie", "Content-Length", "Sec-Fetch-Mode", "X-Custom"};
    for (auto _ : state)
        for (const auto name : names) benchmark::DoNotOptimize(classify(name));
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(std::size(names)));
}
BENCHMARK(classify_names);

}  // namespace

BENCHMARK_MAIN();
