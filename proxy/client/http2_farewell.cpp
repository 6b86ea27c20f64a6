#include "proxy/client/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <array>
#include <string_view>

/// What a session says before the GOAWAY with which it ends a connection for what its client did.
namespace nearhop::client {
namespace {

using namespace std::string_view_literals;

/// 503 client_session_ended, in HPACK that neither reads nor changes a table (RFC 7541 section 6.2.2): nghttp2 sends no
/// response once it has decided to end the session.
constexpr std::string_view block =
    "\x08\x03"
    "503"  // :status
    "\x0f\x0d\x01"
    "0"  // content-length
    "\x0f\x09\x08"
    "no-store"  // cache-control
    "\x00\x0f"
    "x-nearhop-fault"  //
    "\x14"
    "client_session_ended"sv;

std::array<char, 9> frame_head(std::int32_t stream) {
    const auto byte = [](std::uint32_t value) { return static_cast<char>(value & 0xff); };
    const auto id = static_cast<std::uint32_t>(stream);
    return {0,
            0,
            byte(block.size()),
            NGHTTP2_HEADERS,
            NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
            byte(id >> 24),
            byte(id >> 16),
            byte(id >> 8),
            byte(id)};
}
static_assert(block.size() < 256);

}  // namespace

/// Clients repeat a request whose connection ends without an answer, a POST too, and an origin may be carrying it out.
void Http2Session::answer_waiting() {
    for (auto& stream : streams_) {
        if (stream->closed_) continue;
        stream->dismissed_ = true;
        const bool taken = stream->request_.http2;  // its head is whole
        if (!taken || (stream->started_ && stream->heads_waiting_ == 0)) continue;
        const auto head = frame_head(stream->id_);
        frames_.append({head.data(), head.size()});
        frames_.append(block);
    }
}

}  // namespace nearhop::client
