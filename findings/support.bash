# shellcheck shell=bash
# What every finding sources: a temporary folder that is removed at the end, pinned packages in it, and words for what was seen.
# Needs Debian 12 (amd64) with python3; some findings also node and npm, gcc or g++, openssl or perl. Root is not needed.
set -euo pipefail
export LC_ALL=C

lab=$(mktemp -d)                          # the working directory of the finding
root=$lab/root                            # Debian packages are unpacked here, never installed
libraries=$root/usr/lib/x86_64-linux-gnu
started=()
differs=0
chmod 755 "$lab"                          # servers that leave root behind still read here
cd "$lab"

leave() {
    local code=$?
    trap - EXIT
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do
        timeout 10 tail --pid="$pid" -f /dev/null || kill -9 "$pid" 2>/dev/null || true
    done
    wait
    cd /
    rm -rf "$lab"
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT TERM

unavailable() { echo "UNAVAILABLE: $*" >&2; exit 2; }

# needs PROGRAM...: what a finding takes from the machine.
needs() { for program; do type -P "$program" >/dev/null || unavailable "this finding needs $program"; done; }

# debian NAME=VERSION...: unpacks these versions, and what they depend on where this machine lacks it, below $root.
debian() {
    needs apt-get dpkg
    mkdir -p archives/partial "$root"
    apt-get -qq --yes --reinstall --allow-downgrades --no-install-recommends --download-only -o Debug::NoLocking=1 \
        -o APT::Sandbox::User=root -o Dir::Cache::archives="$lab/archives" install "$@" >apt.log 2>&1 ||
        unavailable "$* cannot be downloaded ('apt-get update' first? another version by now?): $(tail -n 1 apt.log)"
    for package in archives/*.deb; do dpkg -x "$package" "$root"; done
    echo "Debian packages: $*"
}

# npm_packages NAME@VERSION...: into $lab/node_modules, no script of theirs run.
npm_packages() {
    needs node npm
    echo '{}' >package.json
    npm install --ignore-scripts --no-audit --no-fund --no-update-notifier --cache "$lab/cache" "$@" >npm.log 2>&1 ||
        unavailable "$* cannot be had from npm: $(grep -m 1 'npm ERR\|npm error' npm.log)"
    echo "npm packages: $* (node $(node --version))"
}

# unpacked PROGRAM ARGUMENT...: runs a program of $root with the libraries of $root.
unpacked() {
    LD_LIBRARY_PATH=$libraries PYTHONPATH=$root/usr/lib/python3/dist-packages \
        PERL5LIB=$root/usr/share/perl5:$root/usr/lib/x86_64-linux-gnu/perl5/5.36 "$@"
}

# start PORT LOG PROGRAM ARGUMENT...: the same in the background, until something listens at 127.0.0.1:PORT (0: not waited for).
start() {
    local port=$1 log=$2
    shift 2
    LD_LIBRARY_PATH=$libraries PYTHONPATH=$root/usr/lib/python3/dist-packages "$@" >"$log" 2>&1 &
    started+=($!)
    [ "$port" = 0 ] || reachable "$port" || { tail -n 5 "$log" >&2; unavailable "$1 did not start"; }
}

reachable() {
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    return 1
}

# free_ports COUNT: ports of loopback that nobody uses now, for TCP and UDP.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
kept = []
while len(kept) < 2 * int(sys.argv[1]):
    tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp.bind(("127.0.0.1", 0))
    try:
        udp.bind(tcp.getsockname())
    except OSError:
        continue
    kept += [tcp, udp]
    print(tcp.getsockname()[1])
PYTHON
}

# mmdb FILE IP_VERSION NETWORK=COUNTRY/CONTINENT...: a database by MaxMind's own writer, in the form of GeoLite2 Country.
# shellcheck disable=SC2034  # findings name it
writer=libmaxmind-db-writer-perl=0.300003-5+b1
mmdb() {
    unpacked perl - "$@" <<'PERL'
use MaxMind::DB::Writer::Tree;
my ($file, $version, @networks) = @ARGV;
my %types = (country => 'map', continent => 'map', iso_code => 'utf8_string', code => 'utf8_string');
my $tree = MaxMind::DB::Writer::Tree->new(
    ip_version => $version, record_size => 24, database_type => 'GeoLite2-Country', languages => ['en'],
    description => {en => 'made by a finding'}, remove_reserved_networks => 0,
    map_key_type_callback => sub { $types{$_[0]} });
for (@networks) {
    my ($network, $country, $continent) = m{^(.*)=(.*)/(.*)$};
    $tree->insert_network($network, {country => {iso_code => $country}, continent => {code => $continent}});
}
open my $output, '>:raw', $file or die "$file: $!";
$tree->write_tree($output);
PERL
}

# seen WHAT OUTPUT EXPECTED: prints the output; the finding has changed if it is another.
seen() {
    echo "  $1: $2"
    [ "$2" = "$3" ] && return
    echo "CHANGED: $1: expected $3" >&2
    differs=1
}

# finished BEHAVIOUR: the last line of every finding.
finished() {
    [ "$differs" = 0 ] || exit 1
    echo "As stated: $*"
}
