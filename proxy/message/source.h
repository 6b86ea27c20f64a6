#pragma once

#include "proxy/account/fault.h"
#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <utility>

namespace nearhop::message {

/// Where an answer comes from: an origin's channel, or the edge itself. What carries it to the client reads this and
/// knows nothing else. Nothing here waits.
class Source {
public:
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    const wire::ResponseHead& head() const noexcept { return head_; }
    const wire::Framing& framing() const noexcept { return framing_; }  ///< of the body
    /// Takes fields of this name out of the head: they were for us.
    void drop_field(std::string_view name) {
        std::erase_if(head_.fields,
                      [name](const wire::Field& field) { return wire::equal_ignoring_case(field.name, name); });
    }
    /// Gives fields the value that `rewrite(field)` returns for them, unless it is empty.
    template <class Rewrite>
    void rewrite_fields(Rewrite rewrite) {
        for (auto& field : head_.fields)
            if (std::string value = rewrite(field); !value.empty())
                field.value = rewritten_.emplace_back(std::move(value));
    }

    /// Body bytes at hand. pending: wait; data: `bytes`, then consume_body(); complete: nothing follows; failed:
    /// fault() says why.
    enum class Body : std::uint8_t { pending, data, complete, failed };
    virtual Body body(std::string_view& bytes) = 0;
    virtual void consume_body(std::size_t bytes) noexcept = 0;
    /// All of a body whose length was announced has been consumed.
    virtual bool body_read() const noexcept = 0;
    virtual std::string_view trailers() const noexcept { return {}; }  ///< lines with CRLF; after the body is complete
    account::Fault fault() const noexcept { return fault_; }

protected:
    Source() = default;
    ~Source() = default;
    void forget_head() noexcept {
        head_.status = 0;
        head_.fields.clear();
        rewritten_.clear();
        framing_ = {};
        fault_ = account::Fault::none;
    }

    wire::ResponseHead head_;
    wire::Framing framing_;
    account::Fault fault_ = account::Fault::none;

private:
    std::list<std::string> rewritten_;  ///< what views in head_ refer to, beside what it was read from
};

}  // namespace nearhop::message
