#include "proxy/wire/message_writer.h"

#include "proxy/wire/chunked.h"

#include <algorithm>

namespace nearhop::wire {
namespace {
constexpr std::size_t record = 16 * 1024;  // the largest TLS record: what is below it is worth joining
}

std::size_t MessageWriter::write(Stream& stream, std::string_view body, bool chunked) {
    const std::size_t held = queued(stream);
    if (held >= Stream::high_water) return 0;
    if (chunked) {
        if (body.empty()) return 0;  // an empty chunk would end the body
        body = body.substr(0, Stream::largest_write);
        char line[20];
        staging_.append({line, write_chunk_line(body.size(), line)});
        if (staging_.size() + body.size() <= record) {
            staging_.append(body);
        } else {
            send_staging(stream);
            stream.write(body);
        }
        staging_.append("\r\n");
        return body.size();
    }
    std::size_t joined = 0;
    if (!staging_.empty() && staging_.size() < record) {
        joined = std::min(body.size(), record - staging_.size());
        staging_.append(body.substr(0, joined));
        if (joined == body.size()) return joined;
    }
    send_staging(stream);
    return joined + stream.write_some(body.substr(joined));
}

void MessageWriter::finish(bool chunked, std::string_view trailers) {
    if (!chunked) return;
    staging_.append("0\r\n");
    staging_.append(trailers);
    staging_.append("\r\n");
}

Io MessageWriter::flush(Stream& stream) {
    send_staging(stream);
    return stream.flush();
}

void MessageWriter::send_staging(Stream& stream) {
    if (staging_.empty()) return;
    stream.write(staging_.view());
    clear();
}

void MessageWriter::clear() noexcept {
    staging_.clear();
    staging_.release();
}

}  // namespace nearhop::wire
