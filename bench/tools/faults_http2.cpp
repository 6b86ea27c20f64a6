#include "bench/tools/faults_client.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

namespace nearhop::bench {
namespace {

class Http2 final : public Client {
public:
    Http2(const Settings& s, Poller& poller, Journal& journal) : Client(s, poller, journal, true) {}
    ~Http2() override {
        if (session_ != nullptr) nghttp2_session_del(session_);
    }

    bool free() const override { return !dead && !leaving_; }
    bool busy() const override { return !requests_.empty() || !waiting_.empty(); }

    void begin(Request request) override {
        waiting_.push_back(std::move(request));
        if (dead) return fail("connect");
        if (opened_) submit();
        transmit();
    }

    void give_up(std::uint64_t before) override {
        for (auto& entry : requests_) {
            if (entry.second.began < before) return fail("timeout");
        }
        if (!waiting_.empty() && waiting_.front().began < before) fail("timeout");
    }

private:
    static Http2& self(void* user) { return *static_cast<Http2*>(user); }

    void open() override {
        nghttp2_session_callbacks* callbacks = nullptr;
        nghttp2_session_callbacks_new(&callbacks);
        nghttp2_session_callbacks_set_on_header_callback(
            callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                          const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
                const auto at = self(user).requests_.find(frame->hd.stream_id);
                if (at != self(user).requests_.end())
                    take_field(at->second, {reinterpret_cast<const char*>(name), name_size},
                               {reinterpret_cast<const char*>(value), value_size});
                return 0;
            });
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
            callbacks,
            [](nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t*, std::size_t size, void* user) {
                const auto at = self(user).requests_.find(stream);
                if (at != self(user).requests_.end()) at->second.got += size;
                return 0;
            });
        nghttp2_session_callbacks_set_on_frame_recv_callback(
            callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
                if (frame->hd.type == NGHTTP2_GOAWAY) self(user).leaving_ = true;
                return 0;
            });
        nghttp2_session_callbacks_set_on_stream_close_callback(
            callbacks, [](nghttp2_session*, std::int32_t stream, std::uint32_t code, void* user) {
                self(user).closed(stream, code);
                return 0;
            });
        nghttp2_session_client_new(&session_, callbacks, this);
        nghttp2_session_callbacks_del(callbacks);
        const nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1024 * 1024};
        nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &window, 1);
        nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 16 * 1024 * 1024);
        submit();
    }

    void submit() {
        for (Request& request : std::exchange(waiting_, {})) {
            const std::string length = std::to_string(request.upload);
            std::vector<nghttp2_nv> fields;
            const auto add = [&](std::string_view name, std::string_view value) {
                fields.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                                  reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
                                  value.size(), NGHTTP2_NV_FLAG_NONE});
            };
            add(":method", request.method);
            add(":scheme", "https");
            add(":authority", host);
            add(":path", request.target);
            add("x-id", request.id);
            add("cloudfront-viewer-country", request.country);
            if (request.upload != 0) add("content-length", length);
            nghttp2_data_provider body{};
            body.read_callback = [](nghttp2_session*, std::int32_t stream, std::uint8_t* to, std::size_t size,
                                    std::uint32_t* flags, nghttp2_data_source*, void* user) -> ssize_t {
                Request& r = self(user).requests_.at(stream);
                const std::size_t n = std::min(size, r.upload - r.uploaded);
                std::memset(to, 'u', n);
                r.uploaded += n;
                if (r.uploaded == r.upload) *flags |= NGHTTP2_DATA_FLAG_EOF;
                return static_cast<ssize_t>(n);
            };
            const std::int32_t stream = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                                               request.upload != 0 ? &body : nullptr, nullptr);
            if (stream < 0) {
                journal_.done(request, "refused");
            } else {
                requests_[stream] = std::move(request);
            }
        }
    }

    void closed(std::int32_t stream, std::uint32_t code) {
        const auto at = requests_.find(stream);
        if (at == requests_.end()) return;
        Request& r = at->second;
        const bool whole = code == NGHTTP2_NO_ERROR && r.status != 0 && (!r.has_length || r.got == r.length);
        journal_.done(r, whole                            ? ""
                         : r.status != 0                  ? "truncated"
                         : code == NGHTTP2_REFUSED_STREAM ? "refused"
                                                          : "reset");
        requests_.erase(at);
    }

    bool more(std::string& out) override {
        const std::uint8_t* data = nullptr;
        for (;;) {
            const ssize_t n = nghttp2_session_mem_send(session_, &data);
            if (n < 0) return false;
            if (n == 0) break;
            out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
        }
        if (leaving_ && requests_.empty() && out.empty()) dead = true;
        return true;
    }

    bool consume(std::string_view data) override {
        return nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(data.data()), data.size()) >= 0;
    }

    void lost(const char* why) override {
        for (const auto& [stream, request] : std::exchange(requests_, {})) {
            const bool late = std::string_view(why) == "timeout";
            journal_.done(request, request.status != 0 && !late ? "truncated" : why);
        }
        for (const Request& request : std::exchange(waiting_, {})) journal_.done(request, why);
    }

    nghttp2_session* session_ = nullptr;
    std::map<std::int32_t, Request> requests_;
    std::vector<Request> waiting_;
    bool leaving_ = false;
};

}  // namespace

std::unique_ptr<Client> http2_client(const Settings& s, Poller& poller, Journal& journal) {
    return std::make_unique<Http2>(s, poller, journal);
}

}  // namespace nearhop::bench
