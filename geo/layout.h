#pragma once

#include "geo/database.h"

#include <array>

struct MMDB_entry_s;

namespace nearhop::geo {

/// Where one database keeps the fields that we read. Files differ: on opening a file, every known path is tried on
/// sampled records, and lookups follow only the paths that exist there.
class Layout {
public:
    /// Learns from one record; false when the record cannot be decoded.
    bool learn(const MMDB_entry_s& entry) noexcept;

    /// True when no record seen so far says anything of a place.
    bool knows_nothing() const noexcept;

    /// Adds what the record says; false when it cannot be decoded. No allocation.
    bool read(const MMDB_entry_s& entry, Record& record) const noexcept;

private:
    struct Reader;
    template <std::size_t n>
    using Seen = std::array<bool, n>;  ///< by position in the lists of paths in layout.cpp

    void read_country(Reader& reader, Record& record) const noexcept;
    void read_point(Reader& reader, Record& record, bool knows_country) const noexcept;

    Seen<4> country_{};  ///< the last is registered_country
    Seen<2> subdivision_{};
    Seen<2> continent_{};
    Seen<3> coordinates_{};
    bool city_ = false;
    bool radius_ = false;
};

}  // namespace nearhop::geo
