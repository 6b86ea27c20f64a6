#pragma once

#include "proxy/loop/loop.h"

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace nearhop::run {

/// Small regional origins for `nearhop demo`: plain HTTP on loopback, all on one thread of their own. Each answers
/// with its name. POST /demo/break makes one fail (it cuts every connection, its health check too) until
/// POST /demo/repair.
class DemoOrigins {
public:
    /// Opens a port per name. Throws std::runtime_error when one cannot be opened.
    explicit DemoOrigins(const std::vector<std::string>& names);
    ~DemoOrigins();
    DemoOrigins(const DemoOrigins&) = delete;
    DemoOrigins& operator=(const DemoOrigins&) = delete;

    std::uint16_t port(std::size_t index) const;

private:
    class Origin;
    loop::Loop loop_;
    std::vector<std::unique_ptr<Origin>> origins_;
    std::thread thread_;
};

}  // namespace nearhop::run
