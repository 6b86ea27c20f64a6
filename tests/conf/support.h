#pragma once

#include "conf/parse.h"

#include <string>

namespace nearhop::conf {

/// A valid file in three lines; tests add what they are about, from line 4 on.
inline std::string base() {
    return "listen: 127.0.0.1:443\n"
           "tls: {certificate: c.pem, private_key: k.pem}\n"
           "origins: {us: 'https://us.example', eu: 'https://eu.example'}\n";
}

inline std::string all_lines(const Problems& problems) {
    std::string lines;
    for (const Problem& problem : problems) lines += to_string(problem, "f") + '\n';
    return lines;
}

}  // namespace nearhop::conf
