#include "geo/database.h"

#include "geo/embedded.h"
#include "geo/layout.h"
#include "geo/sealed_file.h"

#include <maxminddb.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <initializer_list>
#include <netinet/in.h>
#include <utility>
#include <vector>

namespace nearhop::geo {
namespace {

constexpr std::uint32_t sampled_nodes = 16'384;  // of the search tree, spread evenly; small files are walked whole
std::atomic<std::uint64_t> bytes_of_all{0};
constexpr std::uint64_t latest_epoch = 4'102'444'800;  // the year 2100: later build times are noise

/// Looks at records all over the file, so that a broken or useless one is refused before a request depends on it.
/// Empty when the file will do.
std::string walk(const MMDB_s& file, Layout& layout) {
    const std::uint32_t nodes = file.metadata.node_count;
    const std::uint32_t step = std::max(nodes / sampled_nodes, std::uint32_t{1});
    bool any_record = false;
    for (std::uint64_t number = 0; number < nodes; number += step) {
        MMDB_search_node_s node{};
        const int status = MMDB_read_node(&file, static_cast<std::uint32_t>(number), &node);
        if (status != MMDB_SUCCESS) return MMDB_strerror(status);
        for (const auto& [type, entry] : {std::pair{node.left_record_type, node.left_record_entry},
                                          std::pair{node.right_record_type, node.right_record_entry}}) {
            if (type == MMDB_RECORD_TYPE_INVALID) return "its search tree is corrupt";
            if (type != MMDB_RECORD_TYPE_DATA) continue;
            if (!layout.learn(entry)) return "it has a record that cannot be decoded";
            any_record = true;
        }
    }
    if (!any_record) return "it has no records";
    return layout.knows_nothing() ? "its records hold neither countries nor coordinates" : "";
}

/// One end of a branch of the search tree: a further node, a record, or nothing.
struct Branch {
    std::uint8_t type = MMDB_RECORD_TYPE_INVALID;
    std::uint32_t node = 0;
    MMDB_entry_s entry{};
};

std::array<Branch, 2> branches_of(const MMDB_s& file, std::uint32_t number) {
    MMDB_search_node_s node{};
    if (MMDB_read_node(&file, number, &node) != MMDB_SUCCESS) return {};
    return {Branch{node.left_record_type, static_cast<std::uint32_t>(node.left_record), node.left_record_entry},
            Branch{node.right_record_type, static_cast<std::uint32_t>(node.right_record), node.right_record_entry}};
}

Branch walk_down(const MMDB_s& file, std::initializer_list<int> bits, int zeros_more = 0) {
    Branch at{MMDB_RECORD_TYPE_SEARCH_NODE, 0, {}};
    const auto step = [&](int bit) {
        if (at.type == MMDB_RECORD_TYPE_SEARCH_NODE) at = branches_of(file, at.node)[static_cast<std::size_t>(bit)];
    };
    for (const int bit : bits) step(bit);
    while (zeros_more-- > 0) step(0);
    return at;
}

/// Whether any record below says anything of a place. `elsewhere` and what is below it does not count: what one tree
/// holds of IPv4 is found at several places in IPv6. Each node is looked at once, so a tree that lies ends too.
bool any_place(const MMDB_s& file, const Layout& layout, Branch from, const Branch& elsewhere) {
    std::vector<bool> seen(file.metadata.node_count);
    if (elsewhere.type == MMDB_RECORD_TYPE_SEARCH_NODE) seen[elsewhere.node] = true;
    std::vector<Branch> left{from};
    while (!left.empty()) {
        const Branch branch = left.back();
        left.pop_back();
        if (branch.type == MMDB_RECORD_TYPE_DATA) {
            Record record;
            if (layout.read(branch.entry, record) && (record.country || record.continent || record.point)) return true;
        }
        if (branch.type != MMDB_RECORD_TYPE_SEARCH_NODE || seen[branch.node]) continue;
        seen[branch.node] = true;
        for (const Branch& below : branches_of(file, branch.node)) left.push_back(below);
    }
    return false;
}

std::chrono::system_clock::time_point build_time(const MMDB_metadata_s& metadata) noexcept {
    return std::chrono::system_clock::time_point{
        std::chrono::seconds{static_cast<std::int64_t>(std::min(metadata.build_epoch, latest_epoch))}};
}

}  // namespace

struct Database::Impl {
    MMDB_s file{};
    bool is_open = false;
    Layout layout;
    std::string name;
    std::string type;
    std::chrono::system_clock::time_point built;
    bool locates_v4 = false;
    bool locates_v6 = false;
    mutable std::atomic<std::uint64_t> errors{0};

    explicit Impl(std::string file_name) : name{std::move(file_name)} {}
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        if (!is_open) return;
        bytes_of_all.fetch_sub(static_cast<std::uint64_t>(file.file_size), std::memory_order_relaxed);
        MMDB_close(&file);
    }

    /// Empty when the database is ready.
    std::string open(const SealedFile& bytes) {
        const int status = MMDB_open(bytes.path().c_str(), MMDB_MODE_MMAP, &file);
        if (status != MMDB_SUCCESS) return MMDB_strerror(status);
        is_open = true;
        bytes_of_all.fetch_add(static_cast<std::uint64_t>(file.file_size), std::memory_order_relaxed);
        if (file.metadata.database_type != nullptr) type = file.metadata.database_type;
        built = build_time(file.metadata);
        const std::string error = walk(file, layout);
        if (!error.empty()) return error;
        const bool both = file.metadata.ip_version == 6;
        const Branch v4 = walk_down(file, {}, both ? 96 : 0);
        locates_v4 = any_place(file, layout, v4, {});
        // What is assigned of IPv6 begins with the bits 001.
        locates_v6 = both && any_place(file, layout, walk_down(file, {0, 0, 1}), v4);
        return {};
    }

    MMDB_lookup_result_s find(const Address& address, int& status) const noexcept {
        if (address.is_v4()) {
            sockaddr_in in{};
            in.sin_family = AF_INET;
            std::memcpy(&in.sin_addr, address.bytes().data() + 12, 4);
            return MMDB_lookup_sockaddr(&file, reinterpret_cast<const sockaddr*>(&in), &status);
        }
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        std::memcpy(&in.sin6_addr, address.bytes().data(), 16);
        return MMDB_lookup_sockaddr(&file, reinterpret_cast<const sockaddr*>(&in), &status);
    }

    Lookup failed() const noexcept {
        errors.fetch_add(1, std::memory_order_relaxed);
        return Lookup::error;
    }
};

Database::Database(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
Database::~Database() = default;

Database::OpenResult Database::open(const std::string& file, std::uint64_t most_bytes) {
    std::string error;
    const SealedFile bytes = SealedFile::read(file, error, most_bytes);
    return bytes ? open(bytes, file) : OpenResult{nullptr, "cannot read geo database " + file + ": " + error + "."};
}

Database::OpenResult Database::open_embedded() {
    std::string error;
    const SealedFile bytes = SealedFile::of(embedded::country_database(), error);
    return bytes ? open(bytes, "embedded")
                 : OpenResult{nullptr, "cannot keep the embedded geo database in memory: " + error + "."};
}

Database::OpenResult Database::open(const SealedFile& bytes, const std::string& name) {
    auto impl = std::make_unique<Impl>(name);
    const std::string error = impl->open(bytes);
    if (!error.empty()) return {nullptr, "cannot use geo database " + name + ": " + error + "."};
    return {std::shared_ptr<const Database>{new Database{std::move(impl)}}, {}};
}

Lookup Database::lookup(const Address& address, Record& record) const noexcept {
    record = {};
    if (impl_->file.metadata.ip_version == 4 && !address.is_v4()) return Lookup::missing;
    int status = MMDB_SUCCESS;
    const MMDB_lookup_result_s result = impl_->find(address, status);
    if (status != MMDB_SUCCESS) return impl_->failed();
    if (!result.found_entry) return Lookup::missing;
    if (!impl_->layout.read(result.entry, record)) {
        record = {};  // half a record is no record
        return impl_->failed();
    }
    return Lookup::found;
}

bool Database::locates_v4() const noexcept { return impl_->locates_v4; }
bool Database::locates_v6() const noexcept { return impl_->locates_v6; }
const std::string& Database::name() const noexcept { return impl_->name; }
const std::string& Database::type() const noexcept { return impl_->type; }
std::chrono::system_clock::time_point Database::built() const noexcept { return impl_->built; }
std::uint64_t Database::bytes_in_use() noexcept { return bytes_of_all.load(std::memory_order_relaxed); }
std::uint64_t Database::errors() const noexcept { return impl_->errors.load(std::memory_order_relaxed); }

}  // namespace nearhop::geo
