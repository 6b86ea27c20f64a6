#include "proxy/admin/metrics.h"

#include "tests/proxy/admin/world.h"

#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <unistd.h>

namespace nearhop::admin {
namespace {

using test::World;

std::string text_of(const World& world) { return metrics_text(world.snapshot, world.registry, world.status); }

/// The value of a sample by its whole name, "family{label="value"}"; nullopt when it is not there.
std::optional<double> sample(const std::string& text, const std::string& name) {
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);)
        if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
    return std::nullopt;
}

std::set<std::string> sample_names(const std::string& text) {
    std::set<std::string> out;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with('#')) continue;
        EXPECT_TRUE(out.insert(line.substr(0, line.rfind(' '))).second) << "twice: " << line;
    }
    return out;
}

/// Something of everything.
void fill(World& world) {
    world.status.origins[0].state.agent = health::Agent::drain;
    world.status.origins[0].checks.push_back({"database", "writes", {true, health::Finding::fail, {}}});
    world.status.headroom.push_back({.origin = "eu-west-1", .loss = {}});
    world.status.control_targets.push_back({.name = "dns://10.0.0.2:53", .checked = true});
    for (unsigned worker = 0; worker < 2; ++worker) {
        auto& origin = *world.registry.origin(worker, "main", "eu-west-1");
        origin.requests[static_cast<std::size_t>(steering::Reason::nearest)][2].add(3);
        origin.requests[static_cast<std::size_t>(steering::Reason::pinned)][0].add();
        origin.attempts[0].add(3);
        origin.attempts[static_cast<std::size_t>(account::Fault::origin_refused)].add();
        origin.moved_away[0].add();
        origin.moved_away[static_cast<std::size_t>(account::Fault::origin_reset)].add(2);
        origin.passed_over[static_cast<std::size_t>(steering::Reason::down)].add();
        origin.stood_in[static_cast<std::size_t>(steering::Reason::failed)].add();
        origin.hedges.add(3);
        origin.duration.observe_microseconds(1500);
        origin.duration.observe_microseconds(60'000'000);
        origin.head.observe_microseconds(1000);
        auto& site = *world.registry.site(worker, "main");
        site.not_moved[static_cast<std::size_t>(account::Stay::budget_empty)].add(2);
        site.moved[static_cast<std::size_t>(account::Moved::answered)].add();
        site.retry_tokens.set(20);
        site.own_answers[static_cast<std::size_t>(account::Fault::no_origin)].add();
        auto& pool = *world.registry.pool(worker, "eu-west-1");
        pool.idle.add(4);
        pool.reused.add(9);
        auto& counts = world.registry.worker(worker);
        counts.sessions_opened.add(10);
        counts.sessions_closed.add(7);
        counts.handshakes_resumed.add(2);
        counts.faults[static_cast<std::size_t>(account::Fault::client_gone)].add();
        counts.located[1][2].add(5);
        counts.log_dropped.add(3);
        counts.client_deviations[static_cast<std::size_t>(wire::Deviation::empty_line)].add();
    }
    world.registry.log_write_dropped.add(1);
    world.registry.load("eu-west-1")->set(10, 5);
    auto& figures = world.status.figures["eu-west-1"];
    figures.probes[static_cast<std::size_t>(health::Reason::passed)] = 7;
    figures.probes[static_cast<std::size_t>(health::Reason::tls_certificate)] = 1;
    figures.connect.observe(0.02);
    figures.changes[static_cast<std::size_t>(health::Verdict::down)] = 1;
    world.status.origins[1].rtt_ms = 12.5;
    world.status.origins[1].state.verdict = health::Verdict::down;
    world.status.origins[1].state.ejected = true;
    world.status.reloads_failed = 2;
    world.status.config_generation = 3;
    world.status.certificates.push_back(
        {"/etc/a/fullchain.pem", std::chrono::system_clock::from_time_t(1'800'000'000)});
    world.status.certificates.push_back(
        {"/etc/b/fullchain.pem", std::chrono::system_clock::from_time_t(1'900'000'000)});
}

TEST(Metrics, AddUpTheWorkers) {
    World world;
    fill(world);
    const auto text = text_of(world);
    const std::map<std::string, double> wanted{
        {R"(nearhop_requests_total{site="main",origin="eu-west-1",reason="nearest",class="2xx"})", 6},
        {R"(nearhop_requests_total{site="main",origin="eu-west-1",reason="pinned",class="none"})", 2},
        {R"(nearhop_requests_total{site="main",origin="us-east-1",reason="nearest",class="2xx"})", 0},
        {R"(nearhop_attempts_total{site="main",origin="eu-west-1",result="ok"})", 6},
        {R"(nearhop_attempts_total{site="main",origin="eu-west-1",result="origin_refused"})", 2},
        {R"(nearhop_failovers_total{site="main",origin="eu-west-1",fault="status"})", 2},
        {R"(nearhop_failovers_total{site="main",origin="eu-west-1",fault="origin_reset"})", 4},
        {R"(nearhop_failovers_total{site="main",origin="us-east-1",fault="status"})", 0},
        {R"(nearhop_moved_requests_total{site="main",outcome="answered"})", 2},
        {R"(nearhop_moved_requests_total{site="main",outcome="client_gone"})", 0},
        {R"(nearhop_not_moved_total{site="main",why="budget_empty"})", 4},
        {R"(nearhop_not_moved_total{site="main",why="response_started"})", 0},
        {R"(nearhop_retry_budget_tokens{site="main"})", 40},
        {R"(nearhop_hedges_total{site="main",origin="eu-west-1"})", 6},
        {R"(nearhop_origin_capacity{origin="eu-west-1"})", 10},
        {R"(nearhop_origin_full_total{origin="eu-west-1",why="queue_time"})", 0},
        {R"(nearhop_own_answers_total{site="main",fault="no_origin"})", 2},
        {R"(nearhop_faults_total{fault="client_gone"})", 2},
        {R"(nearhop_faults_total{fault="edge_internal"})", 0},
        {R"(nearhop_request_duration_seconds_count{site="main",origin="eu-west-1"})", 4},
        {R"(nearhop_request_duration_seconds_bucket{site="main",origin="eu-west-1",le="0.001"})", 0},
        {R"(nearhop_request_duration_seconds_bucket{site="main",origin="eu-west-1",le="0.0025"})", 2},
        {R"(nearhop_request_duration_seconds_bucket{site="main",origin="eu-west-1",le="30"})", 2},
        {R"(nearhop_request_duration_seconds_bucket{site="main",origin="eu-west-1",le="+Inf"})", 4},
        {R"(nearhop_request_duration_seconds_sum{site="main",origin="eu-west-1"})", 120.003},
        {R"(nearhop_origin_verdict{origin="eu-west-1",verdict="down"})", 1},
        {R"(nearhop_origin_verdict{origin="eu-west-1",verdict="up"})", 0},
        {R"(nearhop_origin_verdict{origin="us-east-1",verdict="up"})", 1},
        {R"(nearhop_origin_ejected{origin="eu-west-1"})", 1},
        {R"(nearhop_origin_rtt_seconds{origin="eu-west-1"})", 0.0125},
        {R"(nearhop_probes_total{origin="eu-west-1",result="passed"})", 7},
        {R"(nearhop_probes_total{origin="eu-west-1",result="tls_certificate"})", 1},
        {R"(nearhop_probe_phase_seconds_count{origin="eu-west-1",phase="connect"})", 1},
        {R"(nearhop_verdict_changes_total{origin="eu-west-1",verdict="down"})", 1},
        {R"(nearhop_pool_connections{origin="eu-west-1",state="idle"})", 8},
        {R"(nearhop_pool_reused_total{origin="eu-west-1"})", 18},
        {"nearhop_sessions", 6},
        {"nearhop_sessions_total", 20},
        {R"(nearhop_tls_handshakes_total{result="resumed"})", 4},
        {R"(nearhop_located_total{geo_source="header",geo_level="country"})", 10},
        {"nearhop_access_log_dropped_total", 7},
        {"nearhop_config_generation", 3},
        {R"(nearhop_reloads_total{result="ok"})", 0},
        {R"(nearhop_reloads_total{result="failed"})", 2},
        {R"(nearhop_certificate_expiry_timestamp_seconds{certificate="a/fullchain.pem"})", 1'800'000'000},
        {R"(nearhop_certificate_expiry_timestamp_seconds{certificate="b/fullchain.pem"})", 1'900'000'000},
    };
    for (const auto& [name, value] : wanted) {
        const auto found = sample(text, name);
        ASSERT_TRUE(found) << name << " is not in\n" << text;
        EXPECT_DOUBLE_EQ(*found, value) << name;
    }
    EXPECT_FALSE(sample(text, R"(nearhop_origin_rtt_seconds{origin="us-east-1"})")) << "not measured is not zero";
    EXPECT_FALSE(sample(text, R"(nearhop_probes_total{origin="eu-west-1",result="refused"})"));
    sample_names(text);
}

TEST(Metrics, OfTheProcessAreThere) {
    World world;
    const auto text = text_of(world);
    EXPECT_GT(sample(text, "process_cpu_seconds_total").value(), 0);
    EXPECT_GT(sample(text, "process_resident_memory_bytes").value(), 1e6);
    EXPECT_GE(sample(text, "process_open_fds").value(), 3);
    EXPECT_GE(sample(text, "process_max_fds").value(), sample(text, "process_open_fds").value());
    const double age = static_cast<double>(std::time(nullptr)) - sample(text, "process_start_time_seconds").value();
    EXPECT_GT(age, -2);
    EXPECT_LT(age, 3600);
}

TEST(Metrics, KeepWhatAReloadRemoved) {
    World world;
    world.registry.origin(0, "gone", "old")->requests[0][5].add(4);
    world.status.figures["old"].ejections = 2;
    const auto text = text_of(world);
    EXPECT_EQ(sample(text, R"(nearhop_requests_total{site="gone",origin="old",reason="nearest",class="5xx"})"), 4);
    EXPECT_EQ(sample(text, R"(nearhop_origin_ejections_total{origin="old"})"), 2);
}

TEST(Metrics, HaveNothingThatPromtoolComplainsAbout) {
    ASSERT_EQ(std::system("command -v promtool >/dev/null"), 0) << "promtool is in Debian's package prometheus";
    World world;
    for (const bool filled : {false, true}) {
        if (filled) fill(world);
        const auto file = std::filesystem::temp_directory_path() / ("nearhop-metrics-" + std::to_string(::getpid()));
        std::ofstream{file} << text_of(world);
        const std::string command = "promtool check metrics < " + file.string() + " 2>&1";
        FILE* tool = ::popen(command.c_str(), "r");
        std::string said;
        char block[512];
        while (std::fgets(block, sizeof block, tool)) said += block;
        EXPECT_EQ(::pclose(tool), 0) << said;
        EXPECT_EQ(said, "");
        std::filesystem::remove(file);
    }
}

std::string docs(const char* name) {
    std::ifstream in{std::string{NEARHOP_SOURCE_DIR} + "/docs/" + name};
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

/// Rows of the tables in a document: "| `first` | second | ... |", without the backquotes.
std::map<std::string, std::vector<std::string>> rows(const std::string& text) {
    std::map<std::string, std::vector<std::string>> out;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) {
        if (!line.starts_with("| `")) continue;
        std::vector<std::string> cells;
        std::istringstream parts{line.substr(2)};
        for (std::string cell; std::getline(parts, cell, '|');) {
            std::erase(cell, '`');
            const auto begin = cell.find_first_not_of(' ');
            cells.push_back(begin == cell.npos ? "" : cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
        }
        EXPECT_TRUE(out.emplace(cells.front(), cells).second) << "two rows for " << cells.front();
    }
    return out;
}

TEST(Metrics, AreTheOnesInTheDocumentation) {
    World world;
    fill(world);
    auto documented = rows(docs("metrics.md"));
    ASSERT_FALSE(documented.empty());
    for (const auto& family : metric_families(world.snapshot, world.registry, world.status)) {
        const auto row = documented.find(family.name);
        if (row == documented.end()) {
            ADD_FAILURE() << family.name << " is not in docs/metrics.md";
            continue;
        }
        std::string labels;
        if (!family.metric.empty())
            for (const auto& label : family.metric.front().label) labels += (labels.empty() ? "" : ", ") + label.name;
        EXPECT_FALSE(family.metric.empty()) << family.name << " has no row: this test does not see its labels";
        ASSERT_GE(row->second.size(), 3u);
        const char* type = family.type == prometheus::MetricType::Counter ? "counter"
                           : family.type == prometheus::MetricType::Gauge ? "gauge"
                                                                          : "histogram";
        EXPECT_EQ(row->second[1], type) << family.name;
        EXPECT_EQ(row->second[2], labels) << family.name;
        documented.erase(row);
    }
    for (const auto& [name, cells] : documented)
        ADD_FAILURE() << "docs/metrics.md has " << name << ", which nobody emits";
}

TEST(Faults, AreTheOnesInTheDocumentation) {
    auto documented = rows(docs("faults.md"));
    for (std::size_t i = 1; i < account::fault_count; ++i) {
        const auto& info = account::info(static_cast<account::Fault>(i));
        const auto row = documented.find(std::string{info.code});
        if (row == documented.end()) {
            ADD_FAILURE() << info.code << " is not in docs/faults.md";
            continue;
        }
        ASSERT_EQ(row->second.size(), 6u) << info.code;
        EXPECT_EQ(row->second[1], std::to_string(info.status)) << info.code;
        EXPECT_EQ(row->second[2], info.meaning) << info.code;
        EXPECT_EQ(row->second[3], info.nothing_sent ? "yes" : "no") << info.code;
        EXPECT_EQ(row->second[4], info.reason == health::Reason::none ? "-" : health::name(info.reason)) << info.code;
        EXPECT_GT(row->second[5].size(), 10u) << info.code << ": what should an operator do?";
        documented.erase(row);
    }
    for (const auto& [code, cells] : documented)
        ADD_FAILURE() << "docs/faults.md has " << code << ", which does not exist";
}

TEST(ShortNames, AreTheLastPartsThatTellPathsApart) {
    using Names = std::vector<std::string>;
    const struct {
        Names paths, wanted;
    } cases[] = {
        {{}, {}},
        {{"embedded"}, {"embedded"}},
        {{"/etc/nearhop/cert.pem"}, {"cert.pem"}},
        {{"/live/a/full.pem", "/live/b/full.pem", "/live/c/other.pem"}, {"a/full.pem", "b/full.pem", "other.pem"}},
        {{"full.pem", "b/full.pem"}, {"full.pem", "b/full.pem"}},
        {{"/x/a/f", "/y/a/f"}, {"x/a/f", "y/a/f"}},
        {{"/same", "/same"}, {"same", "same"}},
        {{"/ax.pem", "/x.pem"}, {"ax.pem", "x.pem"}},
    };
    for (const auto& [paths, wanted] : cases) EXPECT_EQ(short_names(paths), wanted);
}

TEST(Registry, KeepsBlocksOverALookUpFromAnywhere) {
    shared::Registry registry{3};
    const auto first = registry.origin(1, "s", "o");
    first->moved_away[0].add(2);
    EXPECT_EQ(registry.origin(1, "s", "o"), first);
    EXPECT_NE(registry.origin(2, "s", "o"), first);
    EXPECT_NE(registry.origin(1, "s", "other"), first);
    EXPECT_EQ(registry.origins().at({"s", "o"}).size(), 3u);
    EXPECT_EQ(registry.origins().at({"s", "o"})[1]->moved_away[0].get(), 2u);
    const auto pool = registry.pool(0, "o");
    const auto site = registry.site(0, "s");
    EXPECT_EQ(registry.pools().at("o")[0], pool);
    EXPECT_EQ(registry.sites().at("s")[0], site);
}

}  // namespace
}  // namespace nearhop::admin
