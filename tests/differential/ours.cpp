#include "proxy/account/fault.h"
#include "proxy/client/http1_codec.h"
#include "proxy/message/headers.h"

#include <cstdio>
#include <iostream>
#include <string>

/// What Http1Codec makes of a connection's bytes, for comparison with another parser. Each line of the input is one
/// connection in hexadecimal; each line of the output a JSON object: the requests up to the first refusal, and the end.
/// Bytes stand for themselves as code points U+0000 to U+00FF.
namespace {

using namespace nearhop;
using Read = client::Http1Codec::Read;

std::string quoted(std::string_view bytes) {
    std::string out = "\"";
    for (const char c : bytes) {
        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
            out += c;
            continue;
        }
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        out += escape;
    }
    return out + '"';
}

std::string bytes_of(const std::string& hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return bytes;
}

std::string head_of(const message::Request& request) {
    std::string out = R"({"method":)" + quoted(request.method) + R"(,"target":)" + quoted(request.target) +
                      R"(,"authority":)" + quoted(request.authority) + R"(,"minor":)" +
                      (request.protocol == message::Protocol::http10 ? "0" : "1") + R"(,"fields":[)";
    for (const auto& field : request.fields)
        out += (&field == request.fields.data() ? "[" : ",[") + quoted(field.name) + ',' + quoted(field.value) + ']';
    return out + ']';
}

/// The request's body; `end` says why there is no more of it, or stays empty.
std::string body_of(client::Http1Codec& codec, std::string& end) {
    std::string all;
    for (;;) {
        const auto body = codec.body();
        all += body.bytes;
        if (body.fault != account::Fault::none) end = account::info(body.fault).code;
        if (body.complete || !end.empty()) return all;
        if (body.bytes.empty()) {
            end = "pending";
            return all;
        }
        codec.consume_body(body.bytes.size());
    }
}

std::string seen(const std::string& bytes) {
    static const conf::Limits limits;
    wire::Stream stream;  // without a socket: it only ever blocks
    client::Http1Codec codec{stream, true};
    stream.in().append(bytes);
    std::string requests;
    std::string end;
    while (end.empty()) {
        codec.begin_request(limits);
        const auto read = codec.read_head();
        if (read == Read::pending) end = "pending";
        if (read == Read::refused) end = account::info(codec.fault()).code;
        if (read != Read::ready) break;
        requests += (requests.empty() ? "" : ",") + head_of(codec.request());
        const std::string body = body_of(codec, end);
        // As exchange/attempt.cpp does before the request's end goes out.
        std::string trailers;
        if (end.empty() && !message::filter_trailers(codec.request_trailers(), {}, {}, trailers))
            end = account::info(account::Fault::client_bad_framing).code;
        requests += R"(,"body":)" + quoted(body) + R"(,"complete":)" + (end.empty() ? "true}" : "false}");
        if (end.empty() && !codec.keeps_alive()) end = "closed";
    }
    return R"({"requests":[)" + requests + R"(],"end":)" + quoted(end) + '}';
}

}  // namespace

int main() {
    for (std::string line; std::getline(std::cin, line);) std::cout << seen(bytes_of(line)) << '\n';
}
