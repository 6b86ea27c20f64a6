#!/usr/bin/perl
# Writes the tiny databases of the geo tests into the directory given: one for each layout that operators bring.
# Needs Debian's libmaxmind-db-writer-perl.
use strict;
use warnings;
use MaxMind::DB::Writer::Tree;

my $directory = shift or die "usage: make_databases.pl DIRECTORY\n";

# How a value is stored depends on its key. `lat`/`lng` are 32-bit floats and `latitude`/`longitude` doubles, except in
# files where a coordinate is text.
my %types = (
    (map { $_ => 'map' } qw(city continent country location names registered_country represented_country)),
    (map { $_ => 'utf8_string' } qw(asn code country_code continent_code en iso_code region_code state1)),
    (map { $_ => 'double' } qw(latitude longitude)),
    (map { $_ => 'float' } qw(lat lng)),
    accuracy_radius => 'uint16',
    subdivisions    => ['array', 'map'],
);

sub database {
    my ($name, $networks, %options) = @_;
    my %type = (%types, %{delete $options{types} // {}});
    my $tree = MaxMind::DB::Writer::Tree->new(
        ip_version               => 6,
        record_size              => 24,
        database_type            => "Test-$name",
        languages                => ['en'],
        description              => {en => "Nearhop test data: $name"},
        alias_ipv6_to_ipv4       => 1,
        remove_reserved_networks => 0,
        map_key_type_callback    => sub { $type{$_[0]} },
        %options,
    );
    while (my ($network, $record) = splice @$networks, 0, 2) { $tree->insert_network($network, $record) }
    open my $file, '>:raw', "$directory/$name.mmdb" or die "$directory/$name.mmdb: $!\n";
    $tree->write_tree($file);
    close $file or die "$directory/$name.mmdb: $!\n";
}

my @loopback = (
    '127.1.0.0/16' => {country => {iso_code => 'DE'}},
    '127.2.0.0/16' => {country => {iso_code => 'JP'}},
    '127.3.0.0/16' => {country => {iso_code => 'BR'}},
    '127.4.0.0/16' => {country => {iso_code => 'US'}},
);

# MaxMind and DB-IP: nested maps. Also everything that this layout can say or leave out.
database('nested', [
    @loopback,
    '81.2.69.0/24' => {
        city               => {names => {en => 'Berlin'}},
        continent          => {code => 'EU'},
        country            => {iso_code => 'DE'},
        location           => {latitude => 52.52, longitude => 13.405, accuracy_radius => 20},
        registered_country => {iso_code => 'US'},
        subdivisions       => [{iso_code => 'BE'}],
    },
    '81.2.70.0/24' => {registered_country => {iso_code => 'JP'}, continent => {code => 'AS'}},
    '81.2.71.0/24' => {represented_country => {iso_code => 'US'}},
    '81.2.72.0/24' => {country => {iso_code => 'US'}, location => {latitude => 37.751, longitude => -97.822}},
    '81.2.73.0/24' =>
        {country => {iso_code => 'US'}, location => {latitude => 37.751, longitude => -97.822, accuracy_radius => 1000}},
    '81.2.74.0/24' =>
        {country => {iso_code => 'FR'}, location => {latitude => 48.86, longitude => 2.35, accuracy_radius => 499}},
    '81.2.75.0/24' =>
        {country => {iso_code => 'FR'}, location => {latitude => 48.86, longitude => 2.35, accuracy_radius => 500}},
    '81.2.76.0/24' => {city => {names => {en => 'Null Island'}}, country => {iso_code => 'GH'},
        location => {latitude => 0, longitude => 0, accuracy_radius => 5}},
    '81.2.77.0/24' => {country => {iso_code => 'US'}, subdivisions => [{iso_code => 'CA'}]},
    '81.2.78.0/24' => {country => {iso_code => 'CA'}, subdivisions => [{iso_code => 'QC'}]},
    '81.2.79.0/24' => {country => {iso_code => 'EU'}, registered_country => {iso_code => 'US'}},
    '81.2.80.0/24' => {country => {iso_code => 'UK'}},
    '81.2.81.0/24' => {city => {names => {en => 'Paris'}}, country => {iso_code => 'FR'},
        location => {latitude => 48.86, longitude => 2.35}},
    '81.2.82.0/24' => {continent => {code => 'SA'}},
    '2a02:1234::/32' => {country => {iso_code => 'BR'}},
]);

# ip-location-db: flat, with the codes of things that are no countries.
database('flat', [
    '81.2.69.0/24' => {country_code => 'DE'},
    '81.2.70.0/24' => {country_code => 'AP'},
    '81.2.71.0/24' => {country_code => 'XX'},
    '81.2.72.0/24' => {country_code => 'A1'},
    '81.2.73.0/24' => {country_code => ''},
    '81.2.74.0/24' => {country_code => 'jp'},
    '81.2.75.0/24' => {country_code => 'GERMANY'},
    '81.2.76.0/24' => {country_code => 'US', region_code => 'US-TX', state1 => 'Texas'},
    '2a02:1234::/32' => {country_code => 'BR'},
], alias_ipv6_to_ipv4 => 0);

# ip-location-db's free city files: flat, coordinates as 32-bit floats, one file for each version of IP.
database('floats', [
    '81.2.69.0/24' => {country_code => 'DE', city => 'Berlin', lat => 52.52, lng => 13.405},
    '81.2.70.0/24' => {country_code => 'DE', city => '', lat => 51.0, lng => 9.0},
], ip_version => 4, alias_ipv6_to_ipv4 => 0, types => {city => 'utf8_string'});

# Old IPinfo: `country` is the code itself, coordinates are text.
database('strings', [
    '81.2.69.0/24' => {country => 'DE', city => 'Berlin', latitude => '52.52', longitude => '13.405'},
    '81.2.70.0/24' => {country => 'DE', city => 'Berlin', latitude => '52.52N', longitude => '13.405'},
    '81.2.71.0/24' => {country => 'DE', city => 'Berlin', latitude => '91', longitude => '13.405'},
    '81.2.72.0/24' => {country => 'Germany'},
], types => {map { $_ => 'utf8_string' } qw(city country latitude longitude)});

# IPinfo Lite: country_code beside the name in `country`, and a continent.
database('lite', [
    '81.2.69.0/24' => {country => 'Germany', country_code => 'DE', continent_code => 'EU'},
    '81.2.70.0/24' => {continent_code => 'OC'},
], types => {country => 'utf8_string'});

# An operator's own networks, to be asked before a bought file.
database('own', ['81.2.69.0/24' => {country => {iso_code => 'SG'}}, '81.2.70.0/24' => {city => {}}]);

# Networks that are registered elsewhere than where their users are, in the forms that a record may show it.
my %frankfurt = (latitude => 50.11, longitude => 8.68, accuracy_radius => 1000);
my %us = (registered_country => {iso_code => 'US'});
database('registered', [
    '81.2.90.0/24' => {%us, continent => {code => 'EU'}, location => \%frankfurt},
    '81.2.91.0/24' => {%us, continent => {code => 'EU'}},
    '81.2.92.0/24' => {%us, location => \%frankfurt},
    '81.2.93.0/24' => {%us, location => {%frankfurt, accuracy_radius => 5}},
    '81.2.94.0/24' => {%us, continent => {code => 'NA'}, location => \%frankfurt},
    '81.2.95.0/24' => {%us, continent => {code => 'NA'}},
    '81.2.96.0/24' => {%us, location => {latitude => 43.65, longitude => -79.38}},
    '81.2.97.0/24' => {registered_country => {iso_code => 'ES'}, location => {latitude => 28.12, longitude => -15.43}},
    '81.2.98.0/24' => {%us, subdivisions => [{iso_code => 'CA'}]},
    '81.2.99.0/24' => {%us, country => {iso_code => 'DE'}, continent => {code => 'EU'}},
    '81.2.100.0/24' => {registered_country => {iso_code => 'QQ'}, continent => {code => 'EU'}},
]);

# A tree for both versions of IP that holds one of them only.
database('v4_only', ['81.2.69.0/24' => {country => {iso_code => 'DE'}}, '2a02:1234::/32' => {city => {}}]);
database('v6_only', ['2a02:1234::/32' => {country => {iso_code => 'BR'}}]);

database('networks_only', ['81.2.69.0/24' => {asn => 'AS64500'}]);
database('no_records', []);
