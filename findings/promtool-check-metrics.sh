#!/usr/bin/env bash
# A series that stands twice on a page is half lost, and neither promtool nor Prometheus says so.
#
# Guess: "promtool check metrics" refuses the same series twice, a histogram whose buckets fall, that has no +Inf bucket or
#   whose _count is another number; Prometheus counts what it drops in ..._sample_duplicate_timestamp_total.
# Instead: promtool exits with 0 without a word for each of them: it judges names and help texts. Prometheus keeps the first
#   of the two values, "up" is 1, scrape_samples_scraped is 2, and the counter of duplicates stays 0.
# Matters: an exporter that forgets a label (two origins, two workers) loses one of them in production with every check green.
#   Test the parsed families instead.
# Seen with: prometheus and promtool 2.42.0 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs curl
debian prometheus=2.42.0+ds-5+deb12u1
mapfile -t port < <(free_ports 2)

mkdir pages
printf '# HELP sent_total Sent.\n# TYPE sent_total counter\nsent_total{origin="eu"} 1\nsent_total{origin="eu"} 2\n' >pages/twice
histogram() {  # NAME LINES
    printf '# HELP wait_seconds Wait.\n# TYPE wait_seconds histogram\n%swait_seconds_sum 1\nwait_seconds_count 7\n' "$2" >"pages/$1"
}
histogram falling $'wait_seconds_bucket{le="1"} 5\nwait_seconds_bucket{le="2"} 3\nwait_seconds_bucket{le="+Inf"} 7\n'
histogram endless $'wait_seconds_bucket{le="1"} 5\nwait_seconds_bucket{le="2"} 6\n'
histogram miscounted $'wait_seconds_bucket{le="1"} 5\nwait_seconds_bucket{le="+Inf"} 9\n'
printf 'sent_total 1\n' >pages/helpless
check() { unpacked "$root/usr/bin/promtool" check metrics <"pages/$1" 2>&1 && echo passed; }
for page in twice falling endless miscounted; do seen "promtool on '$page'" "$(check $page)" passed; done
seen "promtool on a counter without help" "$(check helpless || true)" "sent_total no help text"

cat >prometheus.yml <<CONF
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: edge, metrics_path: /pages/twice, static_configs: [{targets: ["127.0.0.1:${port[0]}"]}]}]
CONF
start "${port[0]}" pages.log /usr/bin/python3 -m http.server --bind 127.0.0.1 "${port[0]}"
start "${port[1]}" prometheus.log "$root/usr/bin/prometheus" --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address="127.0.0.1:${port[1]}"
value() { curl -s "127.0.0.1:${port[1]}/api/v1/query?query=$1" | grep -o '"[0-9.]*"\]' | tr -d '"]'; }
for _ in $(seq 60); do [ -z "$(value "count_over_time(sent_total%5B1m%5D)%3E2")" ] || break; sleep 0.5; done
seen "Prometheus: sent_total of a page that says 1 and 2" "$(value sent_total)" 1
seen "Prometheus: up" "$(value up)" 1
seen "Prometheus: scrape_samples_scraped" "$(value scrape_samples_scraped)" 2
seen "Prometheus: duplicates counted" \
    "$(curl -s "127.0.0.1:${port[1]}/metrics" | awk '/^prometheus_target_scrapes_sample_duplicate_timestamp_total/ { print $2 }')" 0
finished "promtool 2.42.0 checks neither doubled series nor histograms, and Prometheus drops the second sample in silence"
