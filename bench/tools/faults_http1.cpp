#include "bench/tools/faults_client.h"

#include <cstdlib>

namespace nearhop::bench {
namespace {

class Http1 final : public Client {
public:
    Http1(const Settings& s, Poller& poller, Journal& journal) : Client(s, poller, journal, false) {}

    bool free() const override { return !dead && !active_; }
    bool busy() const override { return active_; }

    void begin(Request request) override {
        request_ = std::move(request);
        active_ = true;
        in_body_ = false;
        head_.clear();
        if (dead) return fail("connect");
        pending_ = std::string(request_.method) + " " + request_.target + " HTTP/1.1\r\nHost: " + std::string(host) +
                   "\r\nX-Id: " + request_.id + "\r\nCloudFront-Viewer-Country: " + request_.country + "\r\n";
        if (request_.upload != 0) pending_ += "Content-Length: " + std::to_string(request_.upload) + "\r\n";
        pending_ += "\r\n" + std::string(request_.upload, 'u');
        transmit();
    }

    void give_up(std::uint64_t before) override {
        if (active_ && request_.began < before) fail("timeout");
    }

private:
    bool more(std::string& out) override {
        out.swap(pending_);
        return true;
    }

    bool consume(std::string_view data) override {
        if (!active_) return false;  // nobody has asked
        if (!in_body_) {
            head_.append(data);
            const auto end = head_.find("\r\n\r\n");
            if (end == std::string::npos) return true;
            const std::string body = head_.substr(end + 4);
            head_.resize(end + 2);
            if (!head_.starts_with("HTTP/1.1 ")) return false;
            request_.status = std::atoi(head_.c_str() + 9);
            for (std::size_t line = head_.find("\r\n") + 2; line < head_.size();) {
                const auto next = head_.find("\r\n", line);
                const auto colon = head_.find(':', line);
                if (colon >= next) return false;
                const auto value = head_.find_first_not_of(' ', colon + 1);
                take_field(request_, head_.substr(line, colon - line),
                           std::string_view(head_).substr(value, next - value));
                line = next + 2;
            }
            in_body_ = true;
            request_.got = body.size();
        } else {
            request_.got += data.size();
        }
        if (!request_.has_length) return true;  // until the connection's end
        if (request_.got > request_.length) return false;
        if (request_.got == request_.length) {
            active_ = false;
            journal_.done(request_, "");
            if (request_.close) dead = true;
        }
        return true;
    }

    void lost(const char* why) override {
        if (!active_) return;
        active_ = false;
        if (in_body_ && !request_.has_length && std::string_view(why) == "closed") return journal_.done(request_, "");
        const bool late = std::string_view(why) == "timeout";
        journal_.done(request_, in_body_ && !late ? "truncated" : why);
    }

    Request request_;
    std::string pending_;
    std::string head_;
    bool active_ = false;
    bool in_body_ = false;
};

}  // namespace

std::unique_ptr<Client> http1_client(const Settings& s, Poller& poller, Journal& journal) {
    return std::make_unique<Http1>(s, poller, journal);
}

}  // namespace nearhop::bench
