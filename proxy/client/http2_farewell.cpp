#include "proxy/client/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <array>
#include <string>
#include <string_view>

/// What a session says to those who wait, before the GOAWAY with which it ends a connection.
namespace nearhop::client {
namespace {

using namespace std::string_view_literals;

/// An answer without content in HPACK that reads no table (RFC 7541 section 6.2.2): nghttp2 sends no response once it
/// has decided to end the session. It ends the use of the table, as a client that has made its own smaller wants to
/// hear at the beginning of the next block (section 4.2).
struct Farewell {
    explicit Farewell(const account::FaultInfo& fault)
        : block{
              "\x20"      // a table of 0 bytes
              "\x08\x03"  // :status
              + std::to_string(fault.status)} {
        block +=
            "\x0f\x0d\x01"  // content-length
            "0"             //
            "\x0f\x09\x08"  // cache-control
            "no-store"      //
            "\x00\x0f"      // a name of its own
            "x-nearhop-fault"sv;
        block += static_cast<char>(fault.code.size());
        block += fault.code;
    }
    std::array<char, 9> frame_head(std::int32_t stream) const noexcept {
        const auto byte = [](std::uint32_t value) { return static_cast<char>(value & 0xff); };
        const auto id = static_cast<std::uint32_t>(stream);
        return {0,
                0,
                static_cast<char>(block.size()),  // far below 256
                NGHTTP2_HEADERS,
                NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                byte(id >> 24),
                byte(id >> 16),
                byte(id >> 8),
                byte(id)};
    }
    std::string block;
};

}  // namespace

/// Clients repeat a request whose connection ends without an answer, a POST too, and an origin may be carrying it out.
void Http2Session::answer_waiting(account::Fault why) {
    const Farewell farewell{account::info(why)};
    for (auto& stream : streams_) {
        if (stream->closed_) continue;
        stream->dismissed_ = why;
        const bool taken = stream->request_.protocol == message::Protocol::http2;  // its head is whole
        if (!taken || (stream->started_ && stream->heads_waiting_ == 0)) continue;
        const auto head = farewell.frame_head(stream->id_);
        frames_.append({head.data(), head.size()});
        frames_.append(farewell.block);
    }
}

}  // namespace nearhop::client
