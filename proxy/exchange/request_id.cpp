#include "proxy/exchange/request_id.h"

#include <algorithm>

namespace nearhop::exchange {
namespace {

constexpr std::size_t longest = 128;

bool is_plain(std::string_view value) noexcept {
    return !value.empty() && value.size() <= longest && std::all_of(value.begin(), value.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
               c == '.';
    });
}

}  // namespace

void RequestId::choose(std::span<const wire::Field> fields, bool trusted, Dice& dice) noexcept {
    if (trusted) {
        for (const auto& field : fields) {
            if (field.id != wire::Name::x_request_id || !is_plain(field.value)) continue;
            text_ = field.value;
            return;
        }
    }
    static constexpr char digits[] = "0123456789abcdef";
    for (std::size_t half = 0; half < 2; ++half) {
        auto bits = dice.next();
        for (std::size_t i = 0; i < 16; ++i, bits >>= 4) buffer_[half * 16 + i] = digits[bits & 15];
    }
    text_ = {buffer_.data(), buffer_.size()};
}

}  // namespace nearhop::exchange
