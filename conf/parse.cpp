#include "conf/parse.h"

#include "conf/reader.h"
#include "conf/regular_file.h"
#include "conf/sections.h"
#include "conf/tree.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace nearhop::conf {

void read_config(Keys& top, Config& config) {
    top.value_with("workers", config.workers, count(0, 1024), "one per core");
    read_clients(top, config);
    read_listeners(top, config);
    read_tls(top, config);
    read_origins(top, config);
    read_geo(top, config);
    read_failover(top, config.failover);
    read_failback(top, config.failback);
    read_isolation(top, config);
    top.value("server_timing", config.server_timing, flag());
    read_rate_limit(top, config.rate_limit);
    read_limits(top, config.limits);
    read_sites(top, config);
    read_http2(top, config.http2);
    read_dns(top, config.dns);
    read_admin(top, config);
    read_log(top, config.log);
    read_shutdown(top, config.shutdown);
}

namespace {

Config read(Reader& reader, const Tree& tree) {
    Config config;
    Field{reader, tree, {}, Mark{1, 1}}.map([&](Keys& top) { read_config(top, config); });
    return config;
}

/// One byte above parse()'s limit is enough to have it refused: a device never ends.
constexpr std::size_t most_text = 1024 * 1024 + 1;

Reader reader_for(const std::string& file) {
    Reader reader;
    reader.folder = std::filesystem::path{file}.parent_path().string();
    return reader;
}

}  // namespace

ParseResult parse(std::string_view yaml, const std::string& file) {
    Reader reader = reader_for(file);
    const Tree tree = read_tree(yaml, reader.problems);
    ParseResult result;
    if (tree.kind != Tree::Kind::refused) {
        result.config = read(reader, tree);
        result.config->file = file;
    }
    result.problems = std::move(reader.problems);
    std::stable_sort(result.problems.begin(), result.problems.end(), earlier);
    if (has_errors(result.problems)) result.config.swap(result.readable);
    return result;
}

std::optional<std::string> read_text(const std::string& file, Problems& problems) {
    const auto refuse = [&](std::string what) {
        problems.push_back({Severity::error, {}, {}, std::move(what)});
        return std::nullopt;
    };
    std::error_code error;
    if (std::filesystem::is_directory(file, error)) return refuse("want a file, found a folder");
    errno = 0;
    std::ifstream stream{file, std::ios::binary};
    if (!stream) return refuse(std::string{"not readable: "} + std::strerror(errno));
    std::string yaml(most_text, '\0');
    stream.read(yaml.data(), static_cast<std::streamsize>(yaml.size()));
    yaml.resize(static_cast<std::size_t>(stream.gcount()));
    if (stream.bad()) return refuse("not readable to its end");
    return yaml;
}

ParseResult parse_file(const std::string& file, Accept accept) {
    ParseResult result;
    if (accept == Accept::any_file) {
        const auto yaml = read_text(file, result.problems);
        return yaml ? parse(*yaml, file) : result;
    }
    std::string yaml;
    const FileFault fault = read_regular_file(file, most_text, yaml);
    if (!fault) return parse(yaml, file);
    result.problems.push_back({Severity::error,
                               {},
                               {},
                               fault.found.empty() ? "not readable: " + fault.error
                                                   : "want a regular file, found " + std::string{fault.found}});
    return result;
}

std::vector<KeyInfo> known_keys() {
    Reader reader;
    reader.listing = true;
    read(reader, Tree{});
    return std::move(reader.keys);
}

std::vector<WrittenValue> written_values(std::string_view yaml, const std::string& file) {
    Reader reader = reader_for(file);
    const Tree tree = read_tree(yaml, reader.problems);
    if (tree.kind != Tree::Kind::refused) read(reader, tree);
    return std::move(reader.values);
}

}  // namespace nearhop::conf
