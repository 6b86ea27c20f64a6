nearhop_library(proxy
  SOURCES
    exchange/fault.cpp
    admin/counters.cpp
    run/log_text.cpp
    run/logging.cpp
    run/notify.cpp
    run/version.cpp
    run/access_line.cpp
    run/access_log.cpp
    run/log_file.cpp
  HEADERS
    exchange/fault.h snapshot.h
    admin/counters.h
    run/access_log.h
    run/commands.h
    run/log_text.h
    run/logging.h
    run/notify.h
    run/version.h
    run/access_line.h
    run/byte_ring.h
    run/log_file.h
  LINK nearhop_loop nearhop_wire nearhop_steering Threads::Threads
  PRIVATE_LINK Boost::json PkgConfig::CARES prometheus-cpp::core CLI11::CLI11 spdlog::spdlog)
set_source_files_properties(run/version.cpp PROPERTIES COMPILE_DEFINITIONS NEARHOP_VERSION="${PROJECT_VERSION}")
