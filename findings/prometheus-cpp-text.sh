#!/usr/bin/env bash
# prometheus-cpp writes le="0.07000000000000001", and a HELP text of two lines that no scraper reads.
#
# Guess: a bucket bound of 0.07 is le="0.07", as from Prometheus' own client; a newline in a help text is escaped, as the
#   text format demands and as label values are.
# Instead: bounds are printed with 16 significant digits, so 0.009, 0.07 and 8.2 get tails that 0.05, 0.1 or 2.5 do not;
#   the help text goes out as it is, and Prometheus refuses the whole page: "expected float as value".
# Matters: an SLO rule on le="0.07" matches nothing, in silence. Choose bounds that print short. One newline in one help text
#   loses all metrics of the process.
# Seen with: prometheus-cpp-dev 1.0.1, prometheus (promtool) 2.42.0 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs g++
debian prometheus-cpp-dev=1.0.1-1 prometheus=2.42.0+ds-5+deb12u1

cat >print.cpp <<'CPP'
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <iostream>
int main(int count, char**) {
    prometheus::Registry registry;
    auto& family = prometheus::BuildHistogram().Name("wait_seconds").Help("Wait.").Register(registry);
    family.Add({}, prometheus::Histogram::BucketBoundaries{0.009, 0.05, 0.07, 0.1, 2.5, 8.2}).Observe(0.06);
    if (count > 1) prometheus::BuildGauge().Name("up").Help("First line.\nSecond line.").Register(registry).Add({}).Set(1);
    std::cout << prometheus::TextSerializer{}.Serialize(registry.Collect());
}
CPP
g++ -std=c++17 -w -o print print.cpp -I"$root/usr/include" -L"$libraries" -lprometheus-cpp-core
check() { unpacked "$root/usr/bin/promtool" check metrics 2>&1 || true; }
seen "bounds 0.009, 0.05, 0.07, 0.1, 2.5, 8.2 are printed as" "$(unpacked ./print | grep -o 'le="[^"]*"' | tr -d '"' | cut -c 4- | paste -sd ' ')" \
    "0.008999999999999999 0.05 0.07000000000000001 0.1 2.5 8.199999999999999 +Inf"
seen "promtool on help texts of one line" "$(unpacked ./print | check | wc -l) complaints" "0 complaints"
seen "promtool on a help text of two lines" "$(unpacked ./print two | check)" \
    'error while linting: text format parsing error in line 2: expected float as value, got "line."'
finished "prometheus-cpp 1.0.1 prints bounds with 16 digits and help texts unescaped"
