/* The files of geo/data as read-only bytes; embedded.h declares the two labels of each. */
.macro embed name, file
    .global nearhop_\name\()_begin
    .global nearhop_\name\()_end
    .balign 16
nearhop_\name\()_begin:
    .incbin "\file"
nearhop_\name\()_end:
    .byte 0
.endm

.section .rodata
embed country_database, dbip-country.mmdb
embed country_points, country_points.csv
embed cloud_regions, cloud_regions.csv
embed subdivisions, admin1_us_ca.csv

/* Without this the linker would make the stack of the whole program executable. */
.section .note.GNU-stack, "", %progbits
