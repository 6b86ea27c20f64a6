#include "tests/conf/schema_text.h"

#include <iostream>

/// Prints conf/schema.json; `./dev schema` puts it into its place.
int main() {
    std::cout << nearhop::conf::schema_text(NEARHOP_SOURCE_DIR);
    return std::cout.flush() ? 0 : 1;
}
