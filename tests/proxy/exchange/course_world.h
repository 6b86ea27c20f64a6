#pragma once

#include "proxy/exchange/course.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

/// A course with a worker by hand, and its steps as text.
namespace nearhop::exchange::test {

using enum steering::MethodClass;
using enum Fault;
using steering::Considered;
using steering::Reason;
using Kind = Course::Step::Kind;

/// Four origins in the order 0, 1, 2, 3, of which three are candidates, and what a worker would have beside them.
struct World final : Course::Edge {
    World() {
        for (geo::OriginId id = 0; id < 4; ++id) origins.push_back({.id = id, .reason = Reason::nearest});
        decide({});
    }

    const steering::Decision& decide(const steering::OriginSet& full) override {
        decision.candidate_count = decision.considered_count = 0;
        for (const bool has_room : {true, false})
            for (Considered origin : origins) {
                if (full.test(origin.id) == has_room) continue;
                if (!has_room) origin.reason = Reason::full;
                decision.considered[decision.considered_count++] = origin;
                const bool may = origin.reason != Reason::forbidden_route && !ordered_out.test(origin.id);
                if (may && decision.candidate_count < steering::max_candidates)
                    decision.candidates[decision.candidate_count++] = origin;
            }
        return decision;
    }
    bool is_ordered_out(geo::OriginId origin) override { return ordered_out.test(origin); }
    std::optional<steering::OriginSet> pinned() override { return tie; }
    Claim claim(geo::OriginId origin) override {
        const bool made = !tie;
        if (made) tie = steering::OriginSet{}.set(origin);
        return {.ours = tie->test(origin), .made = made};
    }
    void release(geo::OriginId) override { tie.reset(); }
    bool has_token() override { return tokens > 0; }
    bool take_token() override { return tokens > 0 && tokens-- > 0; }

    std::vector<Considered> origins;
    steering::Decision decision;
    steering::OriginSet ordered_out;
    std::optional<steering::OriginSet> tie;  ///< of the request's key
    unsigned tokens = 10;
};

/// "ask 0", "again 0", "ask 1 after 25ms", "queue 0", "stop origin_reset (budget_empty)", "answer (deadline)".
inline std::string text(const Course::Step& step) {
    const auto where = std::to_string(step.candidate.id);
    if (step.kind == Kind::queue) return "queue " + where;
    if (step.kind == Kind::stop) {
        std::string said = step.fault == none ? "answer" : "stop " + std::string{info(step.fault).code};
        if (step.stay) said += " (" + std::string{admin::name(*step.stay)} + ")";
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
inline void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

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
