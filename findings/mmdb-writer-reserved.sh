#!/usr/bin/env bash
# MaxMind::DB::Writer drops networks without a word.
#
# Guess: a network that is inserted is found afterwards, or the insertion fails.
# Instead: 10/8, 100.64/10, 198.18/15 and the documentation networks are not stored, because remove_reserved_networks
#   is true by default; insert_network returns, nothing is printed, and of 192.0.0.0/16 a hole remains at 192.0.2.0/24.
# Matters: a database of one's own offices (10/8), of carrier NAT (100.64/10) or of test addresses (192.0.2/24) locates
#   nobody, and a test that uses documentation addresses tests the fallback.
# Seen with: libmaxmind-db-writer-perl 0.300003, mmdb-bin 1.7.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs perl
debian "$writer" mmdb-bin=1.7.1-1

write() {  # FILE OPTION...
    unpacked perl - "$@" <<'PERL'
use MaxMind::DB::Writer::Tree;
my ($file, %options) = @ARGV;
my $tree = MaxMind::DB::Writer::Tree->new(ip_version => 6, record_size => 24, database_type => 'x', languages => ['en'],
    description => {en => 'x'}, map_key_type_callback => sub { 'utf8_string' }, %options);
$tree->insert_network($_, {country => 'ZZ'}) for qw(10.0.0.0/8 100.64.0.0/10 192.0.0.0/16 198.18.0.0/15 2001:db8::/32);
open my $output, '>:raw', $file or die;
$tree->write_tree($output);
PERL
}
found() {  # FILE ADDRESS
    if unpacked "$root/usr/bin/mmdblookup" --file "$1" --ip "$2" country 2>&1 | grep -q ZZ; then echo found; else echo nothing; fi
}

seen "lines that the writer prints" "$(write usual.mmdb 2>&1 | wc -l)" 0
write all.mmdb remove_reserved_networks 0
for address in 10.1.2.3 100.64.0.1 192.0.2.1 198.18.0.1 2001:db8::1; do
    seen "$address" "$(found usual.mmdb $address), with remove_reserved_networks => 0 $(found all.mmdb $address)" \
        "nothing, with remove_reserved_networks => 0 found"
done
seen "192.0.3.1, from the inserted 192.0.0.0/16" "$(found usual.mmdb 192.0.3.1)" "found"
finished "reserved networks are silently left out of a database that MaxMind::DB::Writer 0.300003 writes"
