#include "tests/proxy/exchange/course_world.h"

namespace nearhop::exchange {
namespace {

using namespace test;

/// What comes after each end of an attempt.
struct Ends : testing::TestWithParam<Row> {};
TEST_P(Ends, LeadOn) {
    World world;
    EXPECT_EQ(course_of(world, GetParam(), {}), GetParam().course);
    EXPECT_EQ(world.tokens, GetParam().left);
}

std::string name_of(const testing::TestParamInfo<Row>& row) { return row.param.name; }

INSTANTIATE_TEST_SUITE_P(
    NothingWasSent, Ends,
    testing::Values(
        Row{"Get", get, {unsent(origin_refused)}, "ask 0, ask 1"},
        Row{"Put", put, {unsent(origin_connect_timeout)}, "ask 0, ask 1"},
        Row{"Post", post, {unsent(origin_tls)}, "ask 0, ask 1"},
        Row{"PostWithKey", keyed, {unsent(origin_resolve)}, "ask 0, ask 1"},
        Row{"WithLostBody", post, {lost_body(unsent(origin_refused))}, "ask 0, ask 1"},
        Row{"WithoutLocalPort", get, {{.fault = edge_overloaded, .out_of_ports = true}}, "ask 0, ask 1"},
        Row{"SecondMoveWaits", get, {unsent(origin_refused), unsent(origin_refused)}, "ask 0, ask 1, ask 2 after 25ms"},
        Row{"ThreeOriginsAreEnough",
            get,
            {unsent(origin_refused), unsent(origin_refused), unsent(origin_refused)},
            "ask 0, ask 1, ask 2 after 25ms, stop origin_refused (candidates_exhausted)"},
        Row{"CostsNoToken", get, {unsent(origin_refused)}, "ask 0, ask 1", 0, 0}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    RefusedBeforeProcessing, Ends,
    testing::Values(
        Row{"TlsAlertOfAPost", post, {sent(origin_tls)}, "ask 0, ask 1"},
        Row{"TlsAlertWithLostBody", get, {lost_body(sent(origin_tls))}, "ask 0, stop origin_tls (body_not_replayable)"},
        Row{"MisdirectedGet", get, {answered(421)}, "ask 0, ask 1", 10, 9},
        Row{"MisdirectedPost", post, {answered(421)}, "ask 0, ask 1", 10, 9},
        Row{"MisdirectedWithLostBody", post, {lost_body(answered(421))}, "ask 0, answer (body_not_replayable)"},
        Row{"MisdirectedKeyIsUntied", keyed, {answered(421), answered(200)}, "ask 0, ask 1, answer", 10, 9},
        Row{"TlsAlertDoesNotCountAsSent",
            get,
            {sent(origin_tls), sent(origin_reset), answered(200)},
            "ask 0, ask 1, ask 2 after 25ms, answer",
            10,
            9}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    KeptConnectionWasClosed, Ends,
    testing::Values(
        Row{"GetOnceMoreThereForFree", get, {sent(origin_stale)}, "ask 0, again 0", 0, 0},
        Row{"Put", put, {sent(origin_stale)}, "ask 0, again 0"},
        Row{"ThenOnward", get, {sent(origin_stale), sent(origin_reset)}, "ask 0, again 0, ask 1", 10, 9},
        Row{"OnceForEachOrigin",
            get,
            {sent(origin_stale), sent(origin_reset), sent(origin_stale)},
            "ask 0, again 0, ask 1, again 1",
            10,
            9},
        Row{"Post", post, {sent(origin_stale)}, "ask 0, stop origin_stale (not_idempotent)"},
        Row{"PostWithKey", keyed, {sent(origin_stale)}, "ask 0, again 0"},
        Row{"WithLostBody", get, {lost_body(sent(origin_stale))}, "ask 0, stop origin_stale (body_not_replayable)"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    SentWithoutAnswer, Ends,
    testing::Values(
        Row{"Get", get, {sent(origin_reset)}, "ask 0, ask 1", 10, 9},
        Row{"Put", put, {sent(origin_bad_response)}, "ask 0, ask 1", 10, 9},
        Row{"Late", get, {sent(origin_head_timeout)}, "ask 0, ask 1", 10, 9},
        Row{"Lost", get, {sent(origin_lost)}, "ask 0, ask 1", 10, 9},
        Row{"Stalled", get, {sent(origin_stalled)}, "ask 0, ask 1", 10, 9},
        Row{"Post", post, {sent(origin_reset)}, "ask 0, stop origin_reset (not_idempotent)"},
        Row{"PutWithLostBody", put, {lost_body(sent(origin_reset))}, "ask 0, stop origin_reset (body_not_replayable)"},
        Row{"TwoOriginsAreEnough",
            get,
            {sent(origin_reset), sent(origin_reset)},
            "ask 0, ask 1, stop origin_reset (candidates_exhausted)",
            10,
            9},
        Row{"WithoutToken", get, {sent(origin_reset)}, "ask 0, stop origin_reset (budget_empty)", 0, 0},
        Row{"NoThirdOriginGetsAByteWhereTheSecondOnesFreshDialFails",
            get,
            {sent(origin_reset), sent(origin_stale), unsent(origin_refused)},
            "ask 0, ask 1, again 1, stop origin_refused (candidates_exhausted)",
            10,
            9},
        Row{"NorWhereItsTlsRefusesTheSecondTry",
            get,
            {sent(origin_reset), sent(origin_stale), sent(origin_tls)},
            "ask 0, ask 1, again 1, stop origin_tls (candidates_exhausted)",
            10,
            9},
        Row{"DialAfterwardsIsFree",
            get,
            {sent(origin_reset), unsent(origin_refused)},
            "ask 0, ask 1, ask 2 after 25ms",
            1,
            0}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Answers, Ends,
    testing::Values(Row{"Good", get, {answered(200)}, "ask 0, answer"},
                    Row{"OfThePost", post, {answered(503)}, "ask 0, answer (not_idempotent)"},
                    Row{"Error", get, {answered(500)}, "ask 0, answer"},
                    Row{"TooEarly", get, {answered(425)}, "ask 0, answer"},
                    Row{"BadGateway", get, {answered(502)}, "ask 0, ask 1", 10, 9},
                    Row{"Unavailable", put, {answered(503)}, "ask 0, ask 1", 10, 9},
                    Row{"GatewayTimeout", get, {answered(504), answered(200)}, "ask 0, ask 1, answer", 10, 9},
                    Row{"WithLostBody", put, {lost_body(answered(503))}, "ask 0, answer (body_not_replayable)"},
                    Row{"WithoutToken", get, {answered(503)}, "ask 0, answer (budget_empty)", 0, 0},
                    Row{"OfAKey", keyed, {answered(503)}, "ask 0, answer (key_pinned)"},
                    Row{"TheLastIsForwarded",
                        get,
                        {answered(503), answered(503)},
                        "ask 0, ask 1, answer (candidates_exhausted)",
                        10,
                        9}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Keys, Ends,
    testing::Values(
        Row{"OnceMoreAtTheSameOrigin", keyed, {sent(origin_reset), answered(201)}, "ask 0, again 0, answer", 10, 9},
        Row{"AndNoMore",
            keyed,
            {sent(origin_reset), sent(origin_reset)},
            "ask 0, again 0, stop origin_reset (key_pinned)",
            10,
            9},
        Row{"NotIfItOnlyTakesLonger",
            keyed,
            {sent(origin_head_timeout)},
            "ask 0, stop origin_head_timeout (key_pinned)"},
        Row{"NorWhereThePathIsLost", keyed, {sent(origin_lost)}, "ask 0, stop origin_lost (key_pinned)"},
        Row{"NotWithALostBody", keyed, {lost_body(sent(origin_reset))}, "ask 0, stop origin_reset (key_pinned)"},
        Row{"TheOneThatActedIsNotReached",
            keyed,
            {sent(origin_reset), unsent(origin_refused)},
            "ask 0, again 0, stop key_pinned (key_pinned)",
            10,
            9},
        Row{"MisdirectedAfterItMayHaveActed",
            keyed,
            {sent(origin_reset), answered(421)},
            "ask 0, again 0, answer (key_pinned)",
            10,
            9},
        Row{"WithoutToken", keyed, {sent(origin_reset)}, "ask 0, stop origin_reset (budget_empty)", 0, 0}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    NoOriginCanMendIt, Ends,
    testing::Values(Row{"ClientLeft", get, {sent(client_gone)}, "ask 0, stop client_gone"},
                    Row{"BodyTooLarge", get, {sent(client_body_too_large)}, "ask 0, stop client_body_too_large"},
                    Row{"EdgeStops", get, {unsent(edge_stopped)}, "ask 0, stop edge_stopped"},
                    Row{"EdgeIsFull", get, {unsent(edge_overloaded)}, "ask 0, stop edge_overloaded"},
                    Row{"EdgeFails", get, {unsent(edge_internal)}, "ask 0, stop edge_internal"},
                    Row{"Deadline",
                        get,
                        {{.fault = origin_head_timeout, .connected = true, .out_of_time = true}},
                        "ask 0, stop origin_head_timeout (deadline)"}),
    name_of);

}  // namespace
}  // namespace nearhop::exchange
