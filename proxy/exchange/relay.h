#pragma once

#include "proxy/exchange/context.h"
#include "proxy/exchange/download.h"
#include "proxy/exchange/upload.h"
#include "proxy/loop/task.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace nearhop::exchange {

using account::Fault;

/// Carries an answer whose head has gone out from its source to the client, and beside it what is left of the request
/// to its origin. A cut answer is aborted, so that the client sees it.
class Relay {
public:
    struct How {
        loop::milliseconds body_timeout;  ///< for which the source may give nothing
        const conf::Limits& limits;       ///< of the client
        bool sends_apart = true;          ///< the client's connection has a wake-up of its own
        std::string_view agent_header{};  ///< never carried on, also not as a trailer
    };
    /// The origin that still takes the request while it answers.
    struct Origin {
        origin::Channel& channel;
        Upload& upload;
        Upload::Terms terms;
        Silence& silence;
        bool keeps_back = false;  ///< the client waits for a 100 before it sends its body, and rightly so
    };

    /// The client's side of the exchange.
    struct To {
        Context& context;
        loop::Wake& wake;
        loop::Timer& timer;
        Codec& client;
    };

    /// `bytes` counts the answer's body; no `origin` where the source is none.
    Relay(const To& to, message::Source& source, std::uint64_t& bytes, const How& how, std::optional<Origin> origin);

    /// Until the answer is whole (`none`), a side fails, is too slow, or the edge ends.
    loop::Task<Fault> run();
    /// Nothing came with the answer that makes the next one on the same connection doubtful.
    bool is_clean() const noexcept { return clean_; }

private:
    void finish();
    Fault cut(Fault fault) {
        client_.abort();
        return fault;
    }
    bool note_progress(bool given) noexcept;
    Fault send_rest(loop::TimePoint now);
    Fault judge(loop::TimePoint now, bool client_blocks, bool moved);

    Context& context_;
    loop::Wake& wake_;
    loop::Timer& timer_;
    Codec& client_;
    message::Source& source_;
    std::uint64_t& bytes_;
    How how_;
    std::optional<Origin> origin_;
    Download download_;
    std::uint64_t delivered_ = 0;  ///< of bytes_, what is not queued any more
    std::uint64_t uploaded_ = 0;
    loop::TimePoint progress_{};
    bool clean_ = true;
};

}  // namespace nearhop::exchange
