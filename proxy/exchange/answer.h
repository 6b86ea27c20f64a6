#pragma once

#include "proxy/exchange/codec.h"
#include "proxy/message/source.h"

#include <chrono>
#include <string>
#include <string_view>

namespace nearhop::exchange {

/// An answer of the edge's own.
struct Answer {
    unsigned status = 200;
    Fault fault = Fault::none;
    std::string fields;  ///< ready lines with CRLF
    std::string body;
    bool close = false;
};

/// The error answer for a fault: {"fault", "status", "request_id"} as JSON, or text where Accept prefers it; with
/// X-Nearhop-Fault, and Retry-After (whole seconds) where trying again makes sense. `accept` may be empty.
Answer answer_for(Fault fault, std::string_view accept, std::string_view request_id,
                  std::chrono::seconds retry_after = std::chrono::seconds{5});

/// 308 to the https URL of the same target (RFC 9110 section 15.4.9).
Answer redirect_to_https(std::string_view host, std::uint16_t port, std::string_view target);

/// 200 without content and with what is served: to OPTIONS whose Max-Forwards is spent (RFC 9110 section 7.6.2).
Answer options_answer();

/// An answer of the edge's own as the source of its body.
class OwnAnswer final : public message::Source {
public:
    /// `answer` outlives it.
    explicit OwnAnswer(const Answer& answer) : left_{answer.body} {
        head_.status = answer.status;
        framing_ = {wire::Framing::Kind::length, answer.body.size()};
    }
    Body body(std::string_view& bytes) override {
        bytes = left_;
        return left_.empty() ? Body::complete : Body::data;
    }
    void consume_body(std::size_t bytes) noexcept override { left_.remove_prefix(bytes); }
    bool body_read() const noexcept override { return left_.empty(); }

private:
    std::string_view left_;
};

/// Sends a whole answer; `head_only` for HEAD, `date` a Date line with its CRLF (RFC 9110 section 6.6.1).
void send(Codec& codec, const Answer& answer, bool head_only, std::string_view date);

std::string_view reason_phrase(unsigned status) noexcept;

}  // namespace nearhop::exchange
