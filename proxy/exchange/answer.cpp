#include "proxy/exchange/answer.h"

#include "proxy/exchange/download.h"

#include <array>
#include <utility>

namespace nearhop::exchange {
namespace {

/// JSON unless the client names text or HTML first; a browser's or curl's default gets what people can read.
bool wants_json(std::string_view accept) {
    bool json = false;
    bool decided = false;
    wire::for_each_token(accept, [&](std::string_view token) {
        if (decided) return;
        const auto type = token.substr(0, token.find(';'));
        if (type.starts_with("application/json") || type.ends_with("+json")) json = decided = true;
        if (type.starts_with("text/")) decided = true;
    });
    return json;
}

constexpr std::string_view allowed = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

}  // namespace

std::string_view reason_phrase(unsigned status) noexcept {
    switch (status) {
        case 200: return "OK";
        case 308: return "Permanent Redirect";
        case 400: return "Bad Request";
        case 403: return "Forbidden";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 413: return "Content Too Large";
        case 414: return "URI Too Long";
        case 417: return "Expectation Failed";
        case 421: return "Misdirected Request";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 502: return "Bad Gateway";
        case 503: return "Service Unavailable";
        case 504: return "Gateway Timeout";
        case 508: return "Loop Detected";
        default: return "";
    }
}

Answer answer_for(Fault fault, std::string_view accept, std::string_view request_id, std::chrono::seconds retry_after) {
    const account::FaultInfo& row = info(fault);
    Answer answer;
    answer.status = row.status;
    answer.fault = fault;
    // Nothing more is believed of a connection whose request could not be understood (RFC 9112 section 9.6), or was
    // answered with something that could not: the origin may have read another request than we sent. Nor of one on
    // which something went wrong here.
    const bool is_understood = row.status == 421 || row.status == 403 || fault == Fault::client_rate_limited;
    answer.close = (row.side == account::Side::client && !is_understood) || fault == Fault::origin_bad_response ||
                   fault == Fault::edge_internal || fault == Fault::edge_stopped;
    const std::string status = std::to_string(row.status);
    if (wants_json(accept)) {
        answer.fields = "Content-Type: application/json\r\n";
        answer.body = "{\"fault\": \"" + std::string{row.code} + "\", \"status\": " + status + ", \"request_id\": \"" +
                      std::string{request_id} + "\"}\n";
    } else {
        answer.fields = "Content-Type: text/plain; charset=utf-8\r\n";
        answer.body = status + " " + std::string{reason_phrase(row.status)} + ": " + std::string{row.meaning} +
                      "\nfault " + std::string{row.code} + ", request " + std::string{request_id} + "\n";
    }
    answer.fields += "X-Nearhop-Fault: " + std::string{row.code} + "\r\nX-Request-Id: " + std::string{request_id} +
                     "\r\nCache-Control: no-store\r\n";
    // Who is cut off at the end of a drain may have been served: that is not for a client to try again by itself.
    if ((row.status == 503 && fault != Fault::edge_stopped) || row.status == 429)
        answer.fields += "Retry-After: " + std::to_string(retry_after.count()) + "\r\n";
    if (row.status == 405) answer.fields += allowed;
    return answer;
}

Answer redirect_to_https(std::string_view host, std::uint16_t port, std::string_view target) {
    Answer answer;
    answer.status = 308;
    // OPTIONS * asks about the server as a whole, which has no URL but its root.
    answer.fields = "Location: https://" + std::string{host} + (port == 443 ? "" : ":" + std::to_string(port)) +
                    (target == "*" ? "/" : std::string{target}) + "\r\n";
    return answer;
}

Answer options_answer() {
    Answer answer;
    answer.fields = allowed;
    return answer;
}

void send(Codec& codec, const Answer& answer, bool head_only, std::string_view date) {
    std::string fields{date};
    fields += answer.fields;
    OwnAnswer source{answer};
    codec.start({.status = answer.status,
                 .reason = reason_phrase(answer.status),
                 .fields = {},
                 .extra = fields,
                 .framing = source.framing(),
                 .bodyless = head_only,
                 .close = answer.close});
    std::uint64_t bytes = 0;
    if (!head_only) Download{source, codec, bytes}.move();  // it is small: the client's side takes it at once
    codec.finish({});
}

}  // namespace nearhop::exchange
