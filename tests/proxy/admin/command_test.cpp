#include "proxy/run/commands.h"
#include "proxy/run/notify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace nearhop::run {
namespace {

struct Ended {
    int code = -1;
    std::string out, err;
};

Ended nearhop(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "nearhop");
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Ended ended;
    ended.code = command_line(static_cast<int>(arguments.size()), argv.data());
    std::fflush(nullptr);
    ended.out = testing::internal::GetCapturedStdout();
    ended.err = testing::internal::GetCapturedStderr();
    return ended;
}

std::string file_with(const std::string& text) {
    const auto file = std::filesystem::path{testing::TempDir()} / ("nearhop-" + std::to_string(::getpid()) + ".yaml");
    std::ofstream{file} << text;
    return file.string();
}

TEST(Command, EndsWithTwoForACallThatMakesNoSense) {
    const std::vector<std::string> calls[] = {{},
                                              {"frobnicate"},
                                              {"run"},
                                              {"run", "--nope"},
                                              {"check"},
                                              {"demo", "--port", "70000"},
                                              {"demo", "--port", "x"},
                                              {"version", "extra"},
                                              {"explain"},
                                              {"explain", "--country", "XYZ"},
                                              {"explain", "--lat", "1"},
                                              {"explain", "--ip", "1.2.3.4", "--config", "/nonexistent.yaml"},
                                              {"check", "/nonexistent.yaml"},
                                              {"run", "--config", "/nonexistent.yaml"}};
    for (const auto& call : calls) {
        const auto ended = nearhop(call);
        EXPECT_EQ(ended.code, exit_usage) << testing::PrintToString(call);
        EXPECT_NE(ended.err, "") << testing::PrintToString(call);
    }
}

TEST(Command, NamesWhatItDoesNotKnowAndWhatIsNearIt) {
    EXPECT_EQ(nearhop({"chek"}).err, "nearhop: no command \"chek\", did you mean \"check\"?\n");
    EXPECT_EQ(nearhop({"frobnicate"}).err, "nearhop: no command \"frobnicate\"\n");
    EXPECT_EQ(nearhop({"explain", "--contry=DE"}).err,
              "nearhop: no option \"--contry\", did you mean \"--country\"? (nearhop explain --help lists them)\n");
}

TEST(Command, HelpsOnStdoutAndNamesTheExitCodes) {
    for (const char* command : {"", "run", "check", "explain", "demo", "version"}) {
        std::vector<std::string> call{"--help"};
        if (*command) call.insert(call.begin(), command);
        const auto ended = nearhop(call);
        EXPECT_EQ(ended.code, exit_ok) << command;
        EXPECT_NE(ended.out.find("Exit codes: 0"), std::string::npos) << ended.out;
        EXPECT_NE(ended.out.find("nearhop"), std::string::npos) << ended.out;
        EXPECT_EQ(ended.err, "") << command;
    }
}

TEST(Command, CheckPrintsTheProblemsOfBothPassesWithTheirPlaces) {
    const auto file = file_with(
        "listen: 127.0.0.1:0\n"
        "tls: {certificate: /nonexistent/c.pem, private_key: /nonexistent/k.pem}\n"
        "origins:\n"
        "  nowhere-1: https://a.example.com\n");
    const auto meaning = nearhop({"check", file});
    EXPECT_EQ(meaning.code, exit_usage);
    EXPECT_NE(meaning.err.find(file + ":2:"), std::string::npos) << meaning.err;
    EXPECT_NE(meaning.err.find(file + ":4:"), std::string::npos) << meaning.err;
    const auto form = nearhop({"check", file_with("limts: {}\norigins: 3\n")});
    EXPECT_EQ(form.code, exit_usage);
    EXPECT_NE(form.err.find(file + ":1:1: error: limts: "), std::string::npos) << form.err;
    EXPECT_EQ(form.out, "");
    std::filesystem::remove(file);
}

TEST(Command, CheckIsContentWithAGoodFileAndTellsItsWarnings) {
    const std::string good =
        "listeners: [{address: 127.0.0.1:0, protocol: http, plain: serve}]\n"
        "origins: {us-east-1: https://a.example.com}\n";
    const auto file = file_with(good);
    const auto ended = nearhop({"check", file});
    EXPECT_EQ(ended.code, exit_ok) << ended.err;
    EXPECT_EQ(ended.out, file +
                             ": ok: 1 site, 1 origin\n"
                             "when an origin dies, at worst:\n"
                             "  us-east-1: verdict down after 12.1s; no origin takes over in site default\n");
    EXPECT_EQ(ended.err, "");
    const auto warned = nearhop({"check", file_with(good + "health: {timeout: 20s}\n")});
    EXPECT_EQ(warned.code, exit_ok) << warned.err;
    EXPECT_NE(warned.err.find(": warning: "), std::string::npos) << warned.err;
    EXPECT_NE(warned.out.find(", 1 warning\n"), std::string::npos) << warned.out;
    std::filesystem::remove(file);
}

TEST(Command, ExplainsWithoutAConfigurationAndSaysWhatIsAssumed) {
    const auto ended = nearhop({"explain", "--country", "JP", "--method", "POST", "--path", "/a?b"});
    EXPECT_EQ(ended.code, exit_ok) << ended.err;
    const auto first = ended.out.find("1. ap-southeast-1");
    EXPECT_NE(first, std::string::npos) << ended.out;
    EXPECT_NE(ended.out.find("certificate ap-southeast-1.example.com"), std::string::npos) << ended.out;
    EXPECT_NE(ended.out.find("assumed: every origin is up"), std::string::npos) << ended.out;
    EXPECT_NE(ended.out.find("built-in regions"), std::string::npos) << ended.out;
    const auto json = nearhop({"explain", "--ip", "133.11.1.1", "--json"});
    EXPECT_EQ(json.code, exit_ok) << json.err;
    EXPECT_TRUE(json.out.starts_with("{")) << json.out;
    EXPECT_NE(json.out.find("\"health\":\"assumed"), std::string::npos) << json.out;
}

TEST(Command, ExplainsWithoutTheEdgesCertificatesAndWhatIsRefused) {
    const auto file = file_with(
        "listen: 127.0.0.1:0\n"
        "tls: {certificate: /nonexistent/c.pem, private_key: /nonexistent/k.pem}\n"
        "origins: {us-east-1: https://a.example.com, eu-west-1: https://b.example.com}\n"
        "sites:\n"
        "  - name: a\n"
        "    hosts: [a.test]\n"
        "    origins: [us-east-1, eu-west-1]\n"
        "    routes: [{path: /, origins: [us-east-1]}, {path: /admin, origins: [eu-west-1]}]\n");
    const auto explained =
        nearhop({"explain", "--config", file, "--country", "DE", "--host", "a.test:443", "--path", "/x"});
    EXPECT_EQ(explained.code, exit_ok) << explained.err;
    EXPECT_NE(explained.out.find("1. client: -\n"), std::string::npos) << explained.out;
    EXPECT_NE(explained.out.find("route: /"), std::string::npos) << explained.out;
    const std::vector<std::string> hidden{"explain", "--config", file, "--country", "DE", "--path", "/x/../admin"};
    auto refused = nearhop(hidden);
    EXPECT_NE(refused.out.find("3. refused with 400, path_reading: "), std::string::npos) << refused.out;
    EXPECT_EQ(refused.out.find("candidates"), std::string::npos) << refused.out;
    auto json = hidden;
    json.push_back("--json");
    refused = nearhop(json);
    EXPECT_NE(refused.out.find("\"refused\":\"path_reading\""), std::string::npos) << refused.out;
    EXPECT_NE(refused.out.find("\"client\":null"), std::string::npos) << refused.out;
    std::filesystem::remove(file);
}

TEST(Command, ExplainTakesWhatARequestCouldSay) {
    const std::vector<std::string> wrong[] = {{"--lat", "1e1", "--lon", "0"},
                                              {"--lat", "0", "--lon", "0"},
                                              {"--country", "DE", "--host", "bad/host"},
                                              {"--country", "DE", "--host", "a..b"},
                                              {"--country", "DE", "--path", "nopath"}};
    for (auto call : wrong) {
        call.insert(call.begin(), "explain");
        const auto ended = nearhop(call);
        EXPECT_EQ(ended.code, exit_usage) << testing::PrintToString(call);
        EXPECT_TRUE(ended.err.starts_with("nearhop explain: want ")) << ended.err;
    }
}

TEST(Command, PrintsItsVersion) {
    const auto ended = nearhop({"version"});
    EXPECT_EQ(ended.code, exit_ok);
    EXPECT_TRUE(ended.out.starts_with("nearhop ") && ended.out.ends_with("\n")) << ended.out;
    EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '.'), 2) << ended.out;
}

/// A service manager's end of $NOTIFY_SOCKET, in the file system or the abstract name space.
class Manager {
public:
    explicit Manager(bool abstract) {
        const std::string name = "/tmp/nearhop-notify-" + std::to_string(::getpid());
        if (!abstract) path_ = name;
        descriptor_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, name.data(), name.size());
        if (abstract) address.sun_path[0] = '\0';
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        EXPECT_EQ(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), size), 0);
        ::setenv("NOTIFY_SOCKET", (abstract ? "@" + name.substr(1) : name).c_str(), 1);
    }
    ~Manager() {
        ::close(descriptor_);
        if (!path_.empty()) std::filesystem::remove(path_);
        ::unsetenv("NOTIFY_SOCKET");
    }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    std::string heard() {
        char block[512];
        const auto count = ::recv(descriptor_, block, sizeof block, 0);
        return count < 0 ? "" : std::string{block, static_cast<std::size_t>(count)};
    }

private:
    int descriptor_ = -1;
    std::string path_;
};

TEST(Notify, ReachesAManagerByPathAndByAbstractName) {
    for (const bool abstract : {false, true}) {
        Manager manager{abstract};
        EXPECT_TRUE(notify_ready());
        EXPECT_EQ(manager.heard(), "READY=1");
        EXPECT_TRUE(notify_reloading());
        EXPECT_TRUE(manager.heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        EXPECT_TRUE(notify_status("two\nlines"));
        EXPECT_EQ(manager.heard(), "STATUS=two lines");
        EXPECT_TRUE(notify_stopping());
        EXPECT_EQ(manager.heard(), "STOPPING=1");
        EXPECT_EQ(manager.heard(), "");
    }
}

TEST(Notify, IsSilentWithoutAManagerAndSaysWhenOneIsGone) {
    ::unsetenv("NOTIFY_SOCKET");
    EXPECT_TRUE(notify_ready());
    for (const char* path : {"/nonexistent/socket", "@nearhop-nobody"}) {
        ::setenv("NOTIFY_SOCKET", path, 1);
        EXPECT_FALSE(notify_ready()) << path;
    }
    ::setenv("NOTIFY_SOCKET", ("/" + std::string(300, 'x')).c_str(), 1);
    EXPECT_FALSE(notify_ready());
    ::unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace nearhop::run
