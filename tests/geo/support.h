#pragma once

#include "geo/address.h"
#include "geo/database.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

namespace nearhop::geo {

/// An address that the test knows to be one.
inline Address ip(std::string_view text) {
    const auto address = Address::parse(text);
    if (!address) throw std::invalid_argument{"no address: " + std::string{text}};
    return *address;
}

/// One of the files that make_databases.pl wrote.
inline std::string database_file(const std::string& name) {
    return std::string{NEARHOP_TEST_DATABASES} + "/" + name + ".mmdb";
}

inline std::shared_ptr<const Database> open_database(const std::string& name) {
    auto result = Database::open(database_file(name));
    if (!result.database) throw std::runtime_error{result.error};
    return result.database;
}

inline std::string contents(const std::string& file) {
    std::ifstream in{file, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
}

/// A file of the test's own, in memory: thousands of versions of it cost no disk.
class TemporaryFile {
public:
    explicit TemporaryFile(std::string_view bytes) { write(bytes); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { close(descriptor_); }

    /// In place: same inode, as a careless copy over a database does it.
    void write(std::string_view bytes) {
        if (ftruncate(descriptor_, 0) != 0 ||
            pwrite(descriptor_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
            throw std::runtime_error{"cannot write the temporary file"};
    }
    std::string name() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
    int descriptor_ = memfd_create("nearhop-test", MFD_CLOEXEC);
};

}  // namespace nearhop::geo
