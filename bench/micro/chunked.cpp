#include "proxy/wire/chunked.h"

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace nearhop::wire;

/// 1 MiB in chunks of the given size, decoded from one piece.
void decode(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    std::string wire;
    char line[20];
    for (std::size_t sent = 0; sent < 1024 * 1024; sent += size) {
        wire.append(line, write_chunk_line(size, line));
        wire.append(size, 'x');
        wire += "\r\n";
    }
    wire += "0\r\n\r\n";
    for (auto _ : state) {
        ChunkedDecoder decoder;
        std::string_view in = wire;
        std::size_t body = 0;
        while (!in.empty()) {
            const auto step = decoder.next(in);
            if (step.result == ChunkedDecoder::Result::malformed) return state.SkipWithError("malformed");
            body += step.data.size();
            in.remove_prefix(step.used);
        }
        benchmark::DoNotOptimize(body);
    }
    state.SetBytesProcessed(state.iterations() * 1024 * 1024);
}
BENCHMARK(decode)->Arg(16)->Arg(1024)->Arg(16 * 1024);

}  // namespace

BENCHMARK_MAIN();
