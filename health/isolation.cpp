#include "health/isolation.h"

#include <algorithm>

namespace nearhop::health {

Sign sign_of(Reason reason) noexcept {
    switch (reason) {
        case Reason::passed:
        case Reason::refused:
        case Reason::tls_failed:
        case Reason::tls_certificate:
        case Reason::bad_response:
        case Reason::status:
        case Reason::body_mismatch:
        case Reason::bad_body:
        case Reason::wrong_region:
        case Reason::check_failed: return Sign::answered;
        case Reason::resolve_failed:
        case Reason::unreachable:
        case Reason::connect_timeout:
        case Reason::tls_timeout:
        case Reason::head_timeout:
        case Reason::stalled: return Sign::silent;
        // A reset may be the peer's, or the kernel's word for a connection that lost its way. Half an answer came, but
        // nobody knows when its first half did.
        case Reason::reset:
        case Reason::body_timeout:
        case Reason::none:
        case Reason::ratio:
        case Reason::agent_degraded:
        case Reason::agent_drain:
        case Reason::operator_force_up:
        case Reason::operator_force_down:
        case Reason::operator_drain: break;
    }
    return Sign::none;
}

bool Isolation::follow(const std::vector<std::string>& origins, const std::vector<std::string>& targets,
                       TimePoint now) {
    const auto only = [](const Times& known, const std::vector<std::string>& names) {
        Times next;
        for (const auto& name : names) {
            const auto found = known.find(name);
            next.emplace(name, found == known.end() ? TimePoint{} : found->second);
        }
        return next;
    };
    origins_ = only(origins_, origins);
    targets_ = only(targets_, targets);
    if (!isolated_ || is_on()) return look(now);
    isolated_ = false;
    ended_ = now;
    return true;
}

bool Isolation::answered(TimePoint earliest, TimePoint latest) {
    answered_ = std::max(answered_, latest);
    if (!isolated_ || earliest <= began_) return false;
    isolated_ = false;
    ended_ = latest;
    return true;
}

bool Isolation::origin_silent(std::string_view origin, TimePoint at) {
    const auto found = origins_.find(origin);
    if (found == origins_.end()) return false;
    found->second = std::max(found->second, at);
    return look(at);
}

bool Isolation::target_silent(std::string_view target, TimePoint began, TimePoint at) {
    const auto found = targets_.find(target);
    if (found == targets_.end()) return false;
    found->second = std::max(found->second, began);
    return look(at);
}

bool Isolation::suspects() const noexcept {
    return std::any_of(origins_.begin(), origins_.end(), [this](const auto& each) { return each.second > answered_; });
}

bool Isolation::look(TimePoint now) {
    const auto since = [this](const auto& each) { return each.second > answered_; };
    if (isolated_ || !is_on() || origins_.empty() || !std::all_of(origins_.begin(), origins_.end(), since) ||
        !std::all_of(targets_.begin(), targets_.end(), since))
        return false;
    isolated_ = true;
    began_ = now;
    return true;
}

}  // namespace nearhop::health
