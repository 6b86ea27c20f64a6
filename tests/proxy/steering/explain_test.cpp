#include "proxy/steering/explain.h"

#include "tests/proxy/steering/world.h"

#include <set>

namespace nearhop::steering::test {
namespace {

World fixed_world() {
    World world{three + "sites:\n  main:\n    hosts: [www.example.com]\n    writes: us-east-1\n"};
    world.set("ap-southeast-1", health::Verdict::down);
    world.state("ap-southeast-1").reason = health::Reason::refused;
    world.rtt("eu-west-1", 12.34);
    return world;
}

/// Distances follow the country points, which are data: "1123 km" and the spaces behind become "N km".
std::string without_distances(std::string text) {
    for (auto km = text.find(" km "); km != text.npos; km = text.find(" km ", km + 1)) {
        const auto number = text.find_last_not_of("0123456789", km - 1) + 1;
        const auto end = text.find_first_not_of(' ', km + 3);
        text.replace(number, end - number, "N km  ");
        km = number + 1;  // where the replaced one now is
    }
    return text;
}

Explanation asked(World& world, std::string_view method) {
    Explanation what;
    what.host = "www.example.com";
    what.path = "/";
    what.method = method;
    what.located.client = geo::Address::parse("192.0.2.1").value();
    what.located.place = from("DE");
    what.site_found = true;
    what.decision = world.ask(what.located.place, method);
    return what;
}

TEST(Explain, TextTellsEachStep) {
    World world = fixed_world();
    const std::string text = explain_text(asked(world, "GET"), *world.table, world.health);
    EXPECT_EQ(without_distances(text),
              "GET www.example.com /\n"
              "1. client: 192.0.2.1\n"
              "2. place: DE (source header, level country)\n"
              "3. site: main, route: /\n"
              "4. may serve: eu-west-1, us-east-1, ap-southeast-1\n"
              "5. policy: nearest; its first choice: eu-west-1\n"
              "6. when all are down: open\n"
              "7. candidates, first choice first:\n"
              "   1. eu-west-1       N km  12.3 ms         up\n"
              "         nearest: first by distance\n"
              "   2. us-east-1       N km  not measured    up\n"
              "         next_nearest: next by distance\n"
              "names: Host www.example.com, certificate eu.example.com\n"
              "others:\n"
              "   -  ap-southeast-1  N km  not measured    down (L4 refused)\n"
              "         down: down\n");
}

TEST(Explain, TextSaysWhenNobodyMayOrCanServe) {
    World world = fixed_world();
    Explanation what = asked(world, "POST");
    EXPECT_NE(explain_text(what, *world.table, world.health).find("4. may serve: us-east-1\n"), std::string::npos);
    world.state("us-east-1").draining = true;
    what = asked(world, "POST");
    EXPECT_NE(explain_text(what, *world.table, world.health).find("7. candidates: none\n"), std::string::npos);
    what.site_found = false;
    EXPECT_NE(explain_text(what, *world.table, world.health).find("3. site: none has this host name"),
              std::string::npos);
}

TEST(Explain, JsonHasCandidatesAndOthers) {
    World world = fixed_world();
    const std::string text = explain_json(asked(world, "GET"), *world.table, world.health);
    for (const char* part : {R"("place":{"client":"192.0.2.1","country":"DE")", R"("site":"main","route":"/")",
                             R"("candidates":[{"origin":"eu-west-1","reason":"nearest","km":)", R"("rtt_ms":12.3,)",
                             R"("verdict":"up")", R"("first_choice":"eu-west-1","passed_over":null,"unlocated":false)",
                             R"("others":[{"origin":"ap-southeast-1","reason":"down")", R"("rtt_ms":null,)"})
        EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(Explain, ForeignBytesStayPrintable) {
    World world = fixed_world();
    Explanation what = asked(world, "GET");
    what.path = "/\x1b[31m\xff\n\"";
    EXPECT_EQ(explain_text(what, *world.table, world.health).find('\x1b'), std::string::npos);
    EXPECT_NE(explain_json(what, *world.table, world.health).find(R"("/\\x1b[31m\\xff\\x0a\"")"), std::string::npos)
        << explain_json(what, *world.table, world.health);
}

TEST(Explain, TheFieldNamesOriginReasonPlaceAndAttempts) {
    World world = fixed_world();
    std::string out = "X: ";
    append_decision_field(out, *world.table, world.ask(from("DE")).chosen()[0], from("DE"), 1, world.decision.first);
    EXPECT_EQ(out, "X: origin=eu-west-1; reason=nearest; place=DE/header; attempts=1; first_choice=eu-west-1");
    out.clear();
    append_decision_field(out, *world.table, world.ask({}).chosen()[0], {}, 3, {2, Reason::failed});
    EXPECT_EQ(out,
              "origin=us-east-1; reason=failover_order; place=-/default; attempts=3; first_choice=ap-southeast-1; "
              "passed_over=failed");
}

TEST(Reasons, HaveNamesOfTheirOwn) {
    std::set<std::string_view> names, clauses;
    for (int i = 0; i <= static_cast<int>(Reason::surplus); ++i) {
        names.insert(name(static_cast<Reason>(i)));
        clauses.insert(describe(static_cast<Reason>(i)));
    }
    EXPECT_EQ(names.size(), static_cast<std::size_t>(Reason::surplus) + 1);
    EXPECT_EQ(clauses.size(), names.size());
    EXPECT_FALSE(names.contains("?"));
}

}  // namespace
}  // namespace nearhop::steering::test
