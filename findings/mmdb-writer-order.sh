#!/usr/bin/env bash
# In MaxMind::DB::Writer the last insertion wins, not the most specific network.
#
# Guess: as in a routing table, or in gdnsd's "nets", 81.2.69.0/24 stands above 81.0.0.0/8 whatever the order.
# Instead: a supernet that is inserted later erases the subnets under it. With merge_strategy => recurse the subnet keeps
#   keys that the supernet lacks, but where both have a key the supernet's value stays.
# Matters: who builds a database from a list (exceptions first, or in no order at all) sends the exceptions to the region
#   of the rule. Sort by prefix length, shortest first.
# Seen with: libmaxmind-db-writer-perl 0.300003, mmdb-bin 1.7.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs perl
debian "$writer" mmdb-bin=1.7.1-1

lookup() {  # STRATEGY NETWORK=COUNTRY...: what 81.2.69.1 is then
    unpacked perl - "$@" <<'PERL'
use MaxMind::DB::Writer::Tree;
my ($strategy, @networks) = @ARGV;
my $tree = MaxMind::DB::Writer::Tree->new(ip_version => 6, record_size => 24, database_type => 'x', languages => ['en'],
    description => {en => 'x'}, map_key_type_callback => sub { 'utf8_string' }, merge_strategy => $strategy);
for (@networks) {
    my ($network, $country) = split /=/;
    $tree->insert_network($network, {country => $country, $network => 'kept'});
}
open my $output, '>:raw', 'out.mmdb' or die;
$tree->write_tree($output);
PERL
    unpacked "$root/usr/bin/mmdblookup" --file out.mmdb --ip 81.2.69.1 | tr -d ' \n' | sed 's/<utf8_string>/ /g'
}

for strategy in none toplevel recurse; do
    seen "$strategy, /8 then /24, country of 81.2.69.1" \
        "$(lookup $strategy 81.0.0.0/8=DE 81.2.69.0/24=GB | grep -o '"country":"..')" '"country":"GB'
    seen "$strategy, /24 then /8, country of 81.2.69.1" \
        "$(lookup $strategy 81.2.69.0/24=GB 81.0.0.0/8=DE | grep -o '"country":"..')" '"country":"DE'
done
seen "none, /24 then /8: the subnet's own key" "$(lookup none 81.2.69.0/24=GB 81.0.0.0/8=DE | grep -c 81.2.69.0/24)" 0
seen "recurse, /24 then /8: the subnet's own key" "$(lookup recurse 81.2.69.0/24=GB 81.0.0.0/8=DE | grep -c 81.2.69.0/24)" 1
finished "MaxMind::DB::Writer 0.300003 lets a later supernet overwrite the subnets under it"
