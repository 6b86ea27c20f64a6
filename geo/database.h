#pragma once

#include "geo/address.h"
#include "geo/country.h"
#include "geo/point.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nearhop::geo {

class SealedFile;

/// The content of one database record. Every field may be missing.
struct Record {
    std::optional<Country> country;
    bool registered_only = false;  ///< country is where the network is registered: low confidence
    std::optional<Continent> continent;
    char subdivision[4] = {};    ///< ISO 3166-2 part after the dash, NUL-terminated; empty: unknown
    std::optional<Point> point;  ///< only if it is more precise than the record's own country
};

/// A database built longer ago is old: each month some networks move, and it still has their previous place. A monthly
/// file never gets that old if the operator renews it.
inline constexpr std::chrono::days old_after{45};
constexpr bool is_old(std::chrono::system_clock::time_point built, std::chrono::system_clock::time_point now) noexcept {
    return now - built > old_after;
}

/// Whole days; 0 for one that comes from the future.
constexpr std::chrono::days age(std::chrono::system_clock::time_point built,
                                std::chrono::system_clock::time_point now) noexcept {
    return now > built ? std::chrono::floor<std::chrono::days>(now - built) : std::chrono::days{0};
}

enum class Lookup : std::uint8_t { found, missing, error };

/// One MaxMind-format file, held in sealed memory: overwriting the file cannot hurt a running process.
/// Immutable after open(); lookups from any thread, without allocation.
class Database {
public:
    struct OpenResult {
        std::shared_ptr<const Database> database;  ///< null on failure
        std::string error;                         ///< one sentence
    };
    /// A file of more than `most_bytes` is refused unread.
    static OpenResult open(const std::string& file, std::uint64_t most_bytes = UINT64_MAX);
    static OpenResult open_embedded();  ///< IP Geolocation by DB-IP

    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    /// `address` must be canonical.
    Lookup lookup(const Address& address, Record& record) const noexcept;

    /// Whether any record for that IP version has a place. Free city databases have one file per version.
    bool locates_v4() const noexcept;
    bool locates_v6() const noexcept;

    const std::string& name() const noexcept;  ///< file name, or "embedded"
    const std::string& type() const noexcept;  ///< metadata database_type, for the log
    std::chrono::system_clock::time_point built() const noexcept;
    std::uint64_t errors() const noexcept;  ///< lookups that met a corrupt record, since open()
    /// Memory of all databases of the process, including replaced ones that requests still use.
    static std::uint64_t bytes_in_use() noexcept;

private:
    struct Impl;
    static OpenResult open(const SealedFile& bytes, const std::string& name);
    explicit Database(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace nearhop::geo
