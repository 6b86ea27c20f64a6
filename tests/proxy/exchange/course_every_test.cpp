#include "tests/proxy/exchange/course_world.h"

#include <set>

namespace nearhop::exchange {
namespace {

using namespace test;

/// Every fault of an origin, or one of each kind.
std::vector<AttemptEnd> ends_of(bool all) {
    std::vector<AttemptEnd> ends;
    for (std::size_t at = 0; at < account::fault_count; ++at) {
        const auto fault = static_cast<Fault>(at);
        const bool is_of_kind = fault == origin_tls || fault == origin_stale || fault == origin_reset ||
                                fault == origin_head_timeout || fault == origin_lost;
        if (info(fault).side != account::Side::origin || !(all || is_of_kind)) continue;
        if (info(fault).nothing_sent) ends.push_back(unsent(fault));
        for (const bool held : {true, false}) ends.push_back({.fault = fault, .connected = true, .body_held = held});
    }
    for (const unsigned status : {200u, 421u, 500u, 503u})
        for (const bool held : {true, false}) ends.push_back({.status = status, .connected = true, .body_held = held});
    ends.push_back({.fault = edge_overloaded, .out_of_ports = true});
    return ends;
}

/// All courses that there are, whatever the attempts come to.
class EveryCourse {
public:
    EveryCourse(const Course::Facts& facts, bool forbids, unsigned sent_candidates) : facts_{facts}, forbids_{forbids} {
        failover_.sent_candidates = sent_candidates;
        follow({});
    }
    std::size_t courses() const noexcept { return courses_; }

private:
    /// Does all of it from the beginning: a course cannot be copied.
    void follow(const std::vector<AttemptEnd>& ends) {
        World world;
        if (forbids_) {
            world.origins[1].reason = Reason::forbidden_route;
            world.decide({});
        }
        Course course{world};
        auto step = course.begin(facts_, failover_, world.decision);
        std::multiset<geo::OriginId> asked;
        std::set<geo::OriginId> had_it;  // a byte of the request, and did not provably refuse it
        std::set<geo::OriginId> acted;   // of those, not answered 421
        unsigned moves_paid = 0;
        for (const auto& end : ends) {
            const geo::OriginId at = step.candidate.id;
            asked.insert(at);
            step = attempt(course, step, end);
            if (end.was_sent()) had_it.insert(at);
            if (end.was_sent() && end.status != 421) acted.insert(at);
            moves_paid += step.kind == Kind::ask && end.was_sent() && !(step.again && end.fault == origin_stale);
        }
        ++courses_;
        const auto told = [&] {
            std::string all;
            for (const auto& end : ends)
                all += std::string{info(end.fault).code} + "/" + std::to_string(end.status) +
                       (end.connected ? " sent" : "") + (end.body_held ? "; " : " lost; ");
            return all + text(step);
        };
        ASSERT_LE(had_it.size(), failover_.sent_candidates) << told();
        ASSERT_EQ(world.tokens, 10 - moves_paid) << told();
        if (step.kind != Kind::ask) return;
        const geo::OriginId next = step.candidate.id;
        ASSERT_FALSE(forbids_ && next == 1) << told();
        ASSERT_LT(asked.count(next), 2u) << told();
        ASSERT_EQ(asked.contains(next), step.again) << told();
        ASSERT_FALSE(facts_.method == unsafe && !facts_.has_key && !acted.empty()) << told();
        ASSERT_FALSE(facts_.method == unsafe && !acted.empty() && !acted.contains(next)) << told();
        ASSERT_FALSE(!ends.empty() && ends.back().is_answer()) << told();
        ASSERT_FALSE(!ends.empty() && ends.back().was_sent() && !ends.back().body_held) << told();
        ASSERT_LE(ends.size(), 2 * failover_.connect_candidates) << told();
        static const auto all = ends_of(true), kinds = ends_of(false);
        for (const auto& end : ends.empty() ? all : kinds) {
            auto longer = ends;
            longer.push_back(end);
            follow(longer);
            if (testing::Test::HasFatalFailure()) return;
        }
    }

    Course::Facts facts_;
    bool forbids_;
    conf::Failover failover_;
    std::size_t courses_ = 0;
};

TEST(Course, NeverRepeatsWhatMayHaveActedNorAsksMoreOriginsThanItMay) {
    for (const auto& facts : {get, put, post, keyed})
        for (const bool forbids : {false, true})
            for (const unsigned most : {1u, 2u}) {
                SCOPED_TRACE(static_cast<int>(facts.method));
                const EveryCourse every{facts, forbids, most};
                EXPECT_GT(every.courses(), 100u);
                if (HasFatalFailure()) return;
            }
}

}  // namespace
}  // namespace nearhop::exchange
