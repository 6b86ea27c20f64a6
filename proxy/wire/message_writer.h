#pragma once

#include "proxy/wire/buffer.h"
#include "proxy/wire/stream.h"

#include <string_view>

namespace nearhop::wire {

/// Writes one HTTP/1.1 message to a stream so that the head and the first body bytes leave in one TLS record and one
/// send. The head is built in staging(); what follows joins it while it is small.
class MessageWriter {
public:
    /// Where head lines are appended before the body is written.
    Buffer& staging() noexcept { return staging_; }

    /// Body bytes, as a chunk of their own when `chunked`. Takes what fits under Stream::high_water and returns how
    /// much.
    std::size_t write(Stream& stream, std::string_view body, bool chunked);
    /// The last chunk with ready trailer lines; nothing for other framings.
    void finish(bool chunked, std::string_view trailers);
    Io flush(Stream& stream);
    /// What write() measures against the high-water mark: staged and queued.
    std::size_t queued(const Stream& stream) const noexcept { return staging_.size() + stream.unsent(); }
    void clear() noexcept;

private:
    void send_staging(Stream& stream);
    Buffer staging_;
};

}  // namespace nearhop::wire
