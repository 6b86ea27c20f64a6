#include "proxy/control/overrides.h"

#include <boost/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace nearhop::control {
namespace {

namespace json = boost::json;
using health::Override;
using std::chrono::seconds;
using std::chrono::system_clock;

constexpr std::size_t file_limit = 1024 * 1024;
constexpr std::int64_t format = 1;

std::int64_t unix_seconds(system_clock::time_point time) {
    return std::chrono::duration_cast<seconds>(time.time_since_epoch()).count();
}

std::optional<Override> order_of(std::string_view text) noexcept {
    for (const Override each : {Override::drain, Override::force_up, Override::force_down})
        if (text == health::name(each)) return each;
    return std::nullopt;
}

/// A descriptor that closes itself.
struct Descriptor {
    int number;
    explicit Descriptor(int opened) : number{opened} {}
    ~Descriptor() {
        if (number >= 0) ::close(number);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
};

std::string words(const std::string& file) { return file + ": " + std::strerror(errno); }

std::string read_whole(const std::string& file, std::string& text, bool& there) {
    const Descriptor from{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    there = from.number >= 0 || errno != ENOENT;
    if (from.number < 0) return there ? words(file) : std::string{};
    char block[4096];
    for (;;) {
        const auto got = ::read(from.number, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return words(file);
        if (got == 0) return {};
        text.append(block, static_cast<std::size_t>(got));
        if (text.size() > file_limit) return file + ": is larger than 1 MiB";
    }
}

std::string write_whole(int descriptor, std::string_view text, const std::string& file) {
    while (!text.empty()) {
        const auto put = ::write(descriptor, text.data(), text.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return words(file);
        text.remove_prefix(static_cast<std::size_t>(put));
    }
    return ::fsync(descriptor) == 0 ? std::string{} : words(file);
}

/// A member that must be there and be of this kind; the type says which.
template <class T>
bool take(const json::object& from, std::string_view name, T& into) {
    const auto* value = from.if_contains(name);
    if (!value) return false;
    if constexpr (std::is_same_v<T, std::string>) {
        if (!value->is_string()) return false;
        into = std::string{std::string_view{value->get_string()}};
    } else {
        if (!value->is_int64()) return false;
        into = value->get_int64();
    }
    return true;
}

std::optional<OverrideRecord> record_of(const json::value& value) {
    constexpr std::int64_t latest = 253'402'300'799;  // the year 9999
    if (!value.is_object()) return std::nullopt;
    const auto& from = value.get_object();
    OverrideRecord record;
    std::string order;
    std::int64_t set = 0, expires = 0;
    if (!take(from, "origin", record.origin) || !take(from, "override", order) ||
        !take(from, "author", record.author) || !take(from, "reason", record.why) || !take(from, "set", set) ||
        !take(from, "expires", expires))
        return std::nullopt;
    const auto known = order_of(order);
    if (!known || !is_note(record.origin, author_limit) || !is_note(record.author, author_limit) ||
        !is_note(record.why, why_limit) || set < 0 || set > latest || expires < set ||
        expires - set > override_longest.count())
        return std::nullopt;
    record.order = *known;
    record.set = system_clock::time_point{seconds{set}};
    record.expires = system_clock::time_point{seconds{expires}};
    return record;
}

using Records = std::map<std::string, OverrideRecord>;

/// What a file holds and has not expired; no file is a good file. A sentence when it is there and cannot be understood.
std::string read_records(const std::string& file, system_clock::time_point now, health::TimePoint steady_now,
                         Records& found) {
    std::string text;
    bool there = false;
    if (auto problem = read_whole(file, text, there); !problem.empty() || !there) return problem;

    const std::string refused = file + ": is not a file of overrides that this version understands";
    boost::system::error_code error;
    const auto value = json::parse(text, error);
    const auto* content = error ? nullptr : value.if_object();
    const auto* version = content ? content->if_contains("version") : nullptr;
    const auto* list = content ? content->if_contains("overrides") : nullptr;
    if (!version || *version != format || !list || !list->is_array()) return refused;
    for (const auto& each : list->get_array()) {
        auto record = record_of(each);
        if (!record) return refused;
        // A clock that was set back while nothing ran must not make an order outlive its length.
        const auto left = std::min<system_clock::duration>(record->expires - now, record->expires - record->set);
        if (left <= system_clock::duration::zero()) continue;
        record->ends = steady_now + std::chrono::duration_cast<health::Clock::duration>(left);
        auto origin = record->origin;
        if (!found.emplace(std::move(origin), std::move(*record)).second) return refused;
    }
    return {};
}

}  // namespace

bool is_note(std::string_view text, std::size_t most) {
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (text.empty() || text.size() > most || std::any_of(text.begin(), text.end(), is_control)) return false;
    // Boost.JSON writes any bytes but reads UTF-8 only: what it does not read back would spoil the file.
    boost::system::error_code error;
    json::parse(json::serialize(json::string{text}), error);
    return !error;
}

std::string Overrides::load(SystemTime now, health::TimePoint steady_now) {
    if (file_.empty()) return {};
    Records found;
    auto problem = read_records(file_, now, steady_now, found);
    if (problem.empty()) records_ = std::move(found);
    return problem;
}

std::string Overrides::save() const {
    if (file_.empty()) return std::string{no_state_file};
    Records there;
    if (auto problem = read_records(file_, {}, {}, there); !problem.empty()) return problem;
    json::array list;
    for (const auto& [origin, record] : records_)
        list.push_back(json::object{{"origin", origin},
                                    {"override", health::name(record.order)},
                                    {"author", record.author},
                                    {"reason", record.why},
                                    {"set", unix_seconds(record.set)},
                                    {"expires", unix_seconds(record.expires)}});
    const std::string text = json::serialize(json::object{{"version", format}, {"overrides", std::move(list)}}) + "\n";

    const std::string fresh = file_ + ".new";
    std::string problem;
    {
        const Descriptor to{::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
        if (to.number < 0) return words(fresh);
        problem = write_whole(to.number, text, fresh);
    }
    if (problem.empty() && ::rename(fresh.c_str(), file_.c_str()) != 0) problem = words(file_);
    if (!problem.empty()) {
        ::unlink(fresh.c_str());
        return problem;
    }
    const auto slash = file_.find_last_of('/');
    const std::string folder = slash == std::string::npos ? "." : file_.substr(0, std::max<std::size_t>(slash, 1));
    const Descriptor of{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    return of.number >= 0 && ::fsync(of.number) == 0 ? std::string{} : words(folder);
}

void Overrides::supersede(const std::string& old) const {
    Records there;
    struct stat now{}, before{};
    if (old.empty() || file_.empty() || !read_records(old, {}, {}, there).empty()) return;
    if (::stat(old.c_str(), &before) != 0 || ::stat(file_.c_str(), &now) != 0) return;
    if (before.st_dev != now.st_dev || before.st_ino != now.st_ino) ::unlink(old.c_str());
}

std::vector<OverrideRecord> Overrides::take_over(const Overrides& other) {
    std::vector<OverrideRecord> taken;
    for (const auto& [origin, record] : other.records_)
        if (records_.emplace(origin, record).second) taken.push_back(record);
    return taken;
}

const OverrideRecord& Overrides::put(const OverrideOrder& order, SystemTime now, health::TimePoint steady_now) {
    auto& record = records_[order.origin];
    record = {order.origin, order.order, order.author, order.why, std::chrono::floor<seconds>(now), {}, {}};
    record.expires = record.set + order.lasts;
    record.ends = steady_now + order.lasts;
    return record;
}

std::vector<OverrideRecord> Overrides::take_ended(health::TimePoint steady_now) {
    std::vector<OverrideRecord> ended;
    for (auto at = records_.begin(); at != records_.end();) {
        if (at->second.ends > steady_now) {
            ++at;
            continue;
        }
        ended.push_back(std::move(at->second));
        at = records_.erase(at);
    }
    return ended;
}

const OverrideRecord* Overrides::find(const std::string& origin) const {
    const auto found = records_.find(origin);
    return found == records_.end() ? nullptr : &found->second;
}

}  // namespace nearhop::control
