#include "proxy/wire/date.h"

#include <algorithm>
#include <cstring>

namespace nearhop::wire {

using namespace std::chrono;

std::array<char, 37> date_line(system_clock::time_point time) noexcept {
    static constexpr char week[] = "SunMonTueWedThuFriSat";
    static constexpr char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const auto day = floor<days>(time);
    const year_month_day date{day};
    const hh_mm_ss clock{floor<seconds>(time - day)};
    std::array<char, 37> line;
    std::memcpy(line.data(), "Date: Xxx, 00 Xxx 0000 00:00:00 GMT\r\n", line.size());
    const auto digits = [&](std::size_t at, unsigned count, unsigned number) {
        for (std::size_t i = at + count; i-- > at; number /= 10) line[i] = static_cast<char>('0' + number % 10);
    };
    std::copy_n(week + 3 * weekday{day}.c_encoding(), 3, line.begin() + 6);
    digits(11, 2, unsigned{date.day()});
    std::copy_n(months + 3 * (unsigned{date.month()} - 1), 3, line.begin() + 14);
    digits(18, 4, static_cast<unsigned>(std::clamp(int{date.year()}, 0, 9999)));
    digits(23, 2, static_cast<unsigned>(clock.hours().count()));
    digits(26, 2, static_cast<unsigned>(clock.minutes().count()));
    digits(29, 2, static_cast<unsigned>(clock.seconds().count()));
    return line;
}

std::string_view Date::line(loop::TimePoint now) noexcept {
    if (now >= until_) {
        const auto wall = system_clock::now();
        text_ = date_line(wall);
        until_ = now + duration_cast<loop::Clock::duration>(floor<seconds>(wall) + seconds{1} - wall);
    }
    return {text_.data(), text_.size()};
}

}  // namespace nearhop::wire
