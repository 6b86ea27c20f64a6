#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nearhop::wire {

/// How far a message deviates from HTTP, with the names of AWS's desync mitigation. `acceptable` is normalised and
/// passed; `ambiguous` (two recipients could read it differently) and `severe` are refused.
enum class Strictness : std::uint8_t { compliant, acceptable, ambiguous, severe };

/// Every deviation from HTTP that the proxy distinguishes. Stable: log field, metric label, docs/http.md. Each has a
/// row in the table of deviation.cpp.
enum class Deviation : std::uint8_t {
    none,
    // acceptable
    empty_line,
    odd_target,
    underscore_name,
    content_without_meaning,
    expect_without_content,
    chunk_padding,
    length_without_content,
    // ambiguous
    both_framings,
    repeated_length,
    repeated_coding,
    unknown_coding,
    coding_in_http10,
    bare_lf,
    folded_field,
    space_before_colon,
    request_line_spaces,
    fragment_in_target,
    no_host,
    repeated_host,
    host_mismatch,
    path_reading,
    encoded_slash,
    underscore_refused,
    bytes_after_response,
    // severe
    bad_length,
    bare_cr,
    nul_byte,
    control_byte,
    bad_field_name,
    no_colon,
    bad_method,
    bad_version,
    bad_target,
    bad_host,
    bad_percent,
    bad_max_forwards,
    chunk_size,
    chunk_extension,
    chunk_end,
    bad_trailer,
    bad_status_line,
    unasked_switch,
    interim_flood,
    endless_head,
    cut_head,
    other,
};
inline constexpr std::size_t deviation_count = static_cast<std::size_t>(Deviation::other) + 1;

std::string_view name(Strictness strictness) noexcept;
std::string_view name(Deviation deviation) noexcept;
Strictness strictness(Deviation deviation) noexcept;
/// A clause for people, with the section of the RFC that rules it.
std::string_view describe(Deviation deviation) noexcept;

/// The deviations of one message. Usually none: then it costs one comparison.
class Deviations {
public:
    void add(Deviation deviation) noexcept { bits_ |= bit(deviation); }
    bool has(Deviation deviation) const noexcept { return (bits_ & bit(deviation)) != 0; }
    bool empty() const noexcept { return bits_ == 0; }
    /// The worst one: the last in the order above.
    Deviation worst() const noexcept;

private:
    static constexpr std::uint64_t bit(Deviation deviation) noexcept {
        return deviation == Deviation::none ? 0 : std::uint64_t{1} << static_cast<unsigned>(deviation);
    }
    static_assert(deviation_count <= 64);
    std::uint64_t bits_ = 0;
};

}  // namespace nearhop::wire
