#pragma once

#include "conf/parse.h"
#include "proxy/admin/page.h"
#include "proxy/setup/build.h"
#include "proxy/wire/stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

/// A process as the admin pages see it: a snapshot from YAML, counters and a status to be filled by hand.
namespace nearhop::admin::test {

inline constexpr const char* three_regions = R"(
listeners: [{address: 127.0.0.1:0, protocol: http, plain: serve}]
admin: {listen: 127.0.0.1:0, token: let-me-in}
origins:
  us-east-1: http://127.0.0.1:1
  eu-west-1: http://127.0.0.1:2
  ap-southeast-1: http://127.0.0.1:3
sites:
  main: {hosts: [api.example.com]}
)";

inline shared::Snapshot snapshot_of(const std::string& yaml) {
    wire::initialise_tls();
    auto parsed = conf::parse(yaml, "test.yaml");
    for (const auto& problem : parsed.problems) ADD_FAILURE() << conf::to_string(problem, "test.yaml");
    if (!parsed.config) throw std::runtime_error{"the test's configuration has problems"};
    auto built = setup::build(std::move(*parsed.config), wire::make_ticket_keys());
    for (const auto& problem : built.problems) ADD_FAILURE() << conf::to_string(problem, "test.yaml");
    if (!built.snapshot) throw std::runtime_error{"the test's configuration has problems"};
    auto health = std::make_shared<health::Table>(*built.snapshot->health);
    for (auto& origin : health->origins) origin.state.verdict = health::Verdict::up;
    built.snapshot->health = std::move(health);
    built.snapshot->generation = 1;
    built.snapshot->ready = true;
    return std::move(*built.snapshot);
}

struct World {
    explicit World(const std::string& yaml = three_regions) : snapshot{snapshot_of(yaml)} {
        for (const auto& info : snapshot.routing->origins) {
            control::Control::Status::Origin origin;
            origin.name = info.name;
            origin.state.verdict = health::Verdict::up;
            origin.state.reason = health::Reason::passed;
            origin.addresses.push_back(
                {.text = "127.0.0.1:" + std::to_string(info.port), .state = origin.state, .last = {}});
            status.origins.push_back(std::move(origin));
            status.figures[info.name];
        }
        for (const auto& database : snapshot.locator->databases())
            status.databases.push_back({database->name(), database->type(), database->built(), 0, ""});
        status.ranges.push_back({"/etc/nearhop/ip-ranges.json", "EC2", 3, ""});
    }

    Process process() {
        return {[this]() -> const control::Control::Status& { return status; },
                [this]() -> loop::Task<control::Control::ReloadResult> {
                    ++reloads;
                    co_return reload_result;
                }};
    }
    Page ask(std::string_view method, std::string_view target, std::string_view authorization = {},
             bool allowed = true) {
        const auto mark = target.find('?');
        const auto asked = process();
        return page_of({method, target.substr(0, mark),
                        mark == target.npos ? std::string_view{} : target.substr(mark + 1), authorization},
                       asked, allowed);
    }
    /// Nothing in a test's process waits, so the answer is there at once.
    Page page_of(const Ask& ask, const Process& asked, bool allowed = true) {
        auto task = answer(ask, allowed, snapshot, registry, asked);
        task.start();
        return task.result();
    }

    shared::Snapshot snapshot;
    shared::Registry registry{2};
    control::Control::Status status;
    control::Control::ReloadResult reload_result{.ok = true, .problems = {}};
    int reloads = 0;
};

}  // namespace nearhop::admin::test
