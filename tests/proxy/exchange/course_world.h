#pragma once

#include "proxy/exchange/course.h"
#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

/// A course with a worker by hand, and its steps as text.
namespace nearhop::exchange::test {

using enum steering::MethodClass;
using enum Fault;
using steering::Considered;
using steering::OriginSet;
using steering::Position;
using steering::Reason;
using tests::PrintTo;
using Kind = Course::Step::Kind;

constexpr Position position_of(geo::OriginId origin) noexcept { return static_cast<Position>(origin); }
constexpr OriginSet only(geo::OriginId origin) noexcept { return OriginSet::of(position_of(origin)); }

/// Four origins in the order 0, 1, 2, 3, of which three are candidates, and what a worker would have beside them. Each
/// one's position is its id.
struct World final : Course::Edge {
    World() {
        for (geo::OriginId id = 0; id < 4; ++id)
            origins.push_back({.id = id, .position = position_of(id), .reason = Reason::nearest});
        decide({});
    }

    /// As steering::decide() does by what was `earlier`.
    const steering::Decision& decide(const steering::Earlier& earlier) override {
        decision.candidate_count = decision.considered_count = 0;
        for (const bool has_room : {true, false})
            for (Considered origin : origins) {
                if (earlier.full[origin.position] == has_room) continue;
                const bool may = origin.reason != Reason::forbidden_route && !ordered_out[origin.position];
                const bool is_candidate =
                    may && !earlier.tried[origin.position] && (!earlier.pinned || (*earlier.pinned)[origin.position]);
                if (!has_room) origin.reason = Reason::full;
                if (may && earlier.pinned) origin.reason = Reason::key_pinned;
                decision.considered[decision.considered_count++] = origin;
                if (is_candidate && decision.candidate_count < steering::max_candidates)
                    decision.candidates[decision.candidate_count++] = origin;
            }
        return decision;
    }
    bool is_ordered_out(geo::OriginId origin) override { return ordered_out[position_of(origin)]; }
    std::optional<OriginSet> pinned() override { return tie; }
    Claim claim(geo::OriginId origin) override {
        const bool made = !tie;
        if (made) tie = only(origin);
        return {.ours = (*tie)[position_of(origin)], .made = made};
    }
    void release(geo::OriginId) override { tie.reset(); }
    bool has_token() override { return tokens > 0; }
    bool take_token() override { return tokens > 0 && tokens-- > 0; }

    std::vector<Considered> origins;
    steering::Decision decision;
    OriginSet ordered_out;
    std::optional<OriginSet> tie;  ///< of the request's key
    unsigned tokens = 10;
};

/// "ask 0", "again 0", "ask 1 after 25ms", "queue 0", "stop origin_reset (budget_empty)", "answer (deadline)".
inline std::string text(const Course::Step& step) {
    const auto where = std::to_string(step.candidate.id);
    if (step.kind == Kind::queue) return "queue " + where;
    if (step.kind == Kind::stop) {
        std::string said = step.fault == none ? "answer" : "stop " + std::string{info(step.fault).code};
        if (step.stay) said += " (" + std::string{name(*step.stay)} + ")";
        return said;
    }
    std::string said = (step.again ? "again " : "ask ") + where;
    if (step.back_off.count() > 0) said += " after " + std::to_string(step.back_off.count()) + "ms";
    return said;
}

/// What a driver does: takes the step, sends where the attempt gets that far, and tells how it ended.
inline Course::Step attempt(Course& course, const Course::Step& step, const AttemptEnd& end) {
    course.asks();
    if (end.connected && !course.sends(step.candidate)) return course.outrun();
    return course.ended(end);
}

inline AttemptEnd unsent(Fault fault) { return {.fault = fault}; }
inline AttemptEnd sent(Fault fault) { return {.fault = fault, .connected = true}; }
inline AttemptEnd answered(unsigned status) { return {.status = status, .connected = true}; }
inline AttemptEnd lost_body(AttemptEnd end) {
    end.body_held = false;
    return end;
}

inline constexpr Course::Facts get{.method = safe}, put{.method = idempotent}, post{.method = unsafe},
    keyed{.method = unsafe, .has_key = true};

struct Row {
    const char* name;
    Course::Facts facts;
    std::vector<AttemptEnd> ends;
    const char* course;  ///< all steps
    unsigned tokens = 10;
    unsigned left = 10;  ///< tokens, afterwards
};

inline std::string course_of(World& world, const Row& row, const conf::Failover& failover) {
    world.tokens = row.tokens;
    Course course{world};
    auto step = course.begin(row.facts, failover, world.decision);
    std::string all = text(step);
    for (const auto& end : row.ends) {
        step = attempt(course, step, end);
        all += ", " + text(step);
    }
    return all;
}

}  // namespace nearhop::exchange::test
