nearhop_library(proxy
  SOURCES
    exchange/fault.cpp
  HEADERS
    exchange/fault.h snapshot.h
  LINK nearhop_loop nearhop_wire nearhop_steering Threads::Threads
  PRIVATE_LINK Boost::json PkgConfig::CARES prometheus-cpp::core CLI11::CLI11 spdlog::spdlog)
