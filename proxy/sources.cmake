nearhop_library(proxy
  SOURCES
    client/authority.cpp client/http1_codec.cpp client/http2_callbacks.cpp client/http2_end.cpp client/http2_farewell.cpp
    client/http2_host.cpp
    client/http2_large_values.cpp client/http2_memory.cpp client/http2_meter.cpp client/http2_receive.cpp
    client/http2_request.cpp client/http2_session.cpp client/http2_stream.cpp client/http2_streams.cpp
    client/listener.cpp client/proxy_protocol.cpp client/session.cpp client/session_http1.cpp client/sessions.cpp
    exchange/address_counts.cpp exchange/address_hash.cpp exchange/admit.cpp exchange/answer.cpp exchange/ask.cpp
    exchange/capacity.cpp exchange/connect.cpp exchange/context.cpp exchange/course.cpp exchange/exchange.cpp exchange/fault.cpp exchange/forwarded.cpp exchange/headers.cpp
    exchange/hedge.cpp exchange/keyed_hash.cpp exchange/location.cpp exchange/offer.cpp exchange/deliver.cpp exchange/origin_load.cpp exchange/peer_trust.cpp exchange/pins.cpp exchange/rate_table.cpp
    exchange/patience.cpp exchange/relay.cpp exchange/replay.cpp exchange/request_id.cpp exchange/tunnel.cpp exchange/upload.cpp exchange/viewer.cpp exchange/wait.cpp
    origin/agent.cpp origin/announcement.cpp origin/control_check.cpp origin/dial.cpp origin/http1_channel.cpp origin/pool.cpp origin/probe.cpp origin/probe_head.cpp origin/resolver.cpp
    origin/server_name.cpp
    run/build.cpp run/build_origins.cpp run/control.cpp run/geo_watch.cpp run/headroom_watch.cpp run/isolation_watch.cpp run/leader_watch.cpp run/listener_key.cpp
    run/memory_limit.cpp run/memory_watch.cpp run/origin_verdict.cpp run/origin_watch.cpp run/origin_watches.cpp run/override_watch.cpp run/overrides.cpp
    run/ranges_watch.cpp run/rto.cpp run/secrets.cpp run/traffic_watch.cpp run/trusted.cpp run/watched_files.cpp run/demo.cpp run/demo_origin.cpp run/run.cpp run/server.cpp run/server_listeners.cpp run/start_only.cpp run/try_start.cpp run/worker.cpp
    simulate/attempt.cpp simulate/condition.cpp simulate/exchanges.cpp simulate/group.cpp simulate/isolation.cpp simulate/judge.cpp simulate/network.cpp
    simulate/read.cpp simulate/report.cpp simulate/simulate.cpp simulate/verdicts.cpp run/simulate_command.cpp
    admin/counters.cpp admin/registry.cpp
    run/log_text.cpp
    run/logging.cpp
    run/notify.cpp
    run/version.cpp
    run/access_line.cpp
    run/access_log.cpp
    run/background.cpp
    run/database_cache.cpp
    run/failures.cpp
    run/left_behind.cpp
    run/log_file.cpp
    run/log_writer.cpp
    admin/query.cpp
    admin/question.cpp
    run/check_command.cpp
    run/commands.cpp
    run/explain_command.cpp
    run/admin_call.cpp
    run/admin_trust.cpp
    run/order_command.cpp
    admin/http_session.cpp
    admin/http_session.h
    admin/metrics.cpp
    admin/metrics_edge.cpp
    admin/metrics_origins.cpp
    admin/metrics_process.cpp
    admin/metrics_sessions.cpp
    admin/metrics_traffic.cpp
    admin/override_page.cpp
    admin/page.cpp
    admin/server.cpp
    admin/status_page.cpp
  HEADERS
    client/authority.h client/http1_codec.h client/http2_cut_streams.h client/http2_frame.h client/http2_large_values.h
    client/http2_memory.h client/http2_meter.h client/http2_session.h client/http2_stream.h
    client/listener.h client/proxy_protocol.h client/session.h client/sessions.h
    exchange/address_counts.h exchange/address_hash.h exchange/answer.h exchange/attempt.h exchange/budget.h
    exchange/capacity.h exchange/codec.h exchange/context.h exchange/course.h exchange/exchange.h exchange/fault.h exchange/forwarded.h exchange/headers.h
    exchange/keyed_hash.h exchange/line_writer.h exchange/least_rate.h exchange/location.h exchange/failure_rows.h exchange/lost_paths.h exchange/origin_load.h exchange/origin_times.h exchange/peer_trust.h exchange/pins.h exchange/rate_table.h exchange/reader_pace.h
    exchange/patience.h exchange/dice.h exchange/download.h exchange/relay.h exchange/replay.h exchange/request.h exchange/request_id.h exchange/source.h exchange/stopwatch.h exchange/tunnel.h exchange/upload.h exchange/viewer.h
    origin/agent.h origin/announcement.h origin/channel.h origin/connection.h origin/control_check.h origin/dial.h origin/http1_channel.h origin/pool.h origin/probe.h
    origin/probe_head.h origin/resolver.h origin/server_name.h
    run/build.h run/build_origins.h run/control.h run/geo_watch.h run/headroom_watch.h run/isolation_watch.h run/leader_watch.h run/listener_key.h
    run/memory_limit.h run/memory_watch.h run/origin_watch.h run/origin_watches.h run/override_watch.h run/overrides.h
    run/file_stamp.h run/ranges_watch.h run/rto.h run/secrets.h run/status.h run/traffic_watch.h run/trusted.h run/watched_files.h run/demo_origin.h run/server.h run/start_only.h run/try_start.h run/worker.h
    simulate/condition.h simulate/events.h simulate/exchanges.h simulate/group.h simulate/network.h
    simulate/outcome.h simulate/random.h simulate/read.h simulate/report.h simulate/scenario.h simulate/simulate.h
    simulate/verdicts.h
    snapshot.h shared/reports.h
    admin/counters.h admin/registry.h
    run/access_log.h
    run/admin_call.h run/admin_trust.h run/commands.h
    run/log_text.h
    run/logging.h
    run/notify.h
    run/version.h
    run/access_line.h
    run/byte_ring.h
    run/background.h
    run/database_cache.h
    run/failures.h
    run/left_behind.h
    run/log_file.h
    run/log_writer.h
    admin/query.h
    admin/question.h
    admin/family.h
    admin/metrics.h
    admin/override_page.h
    admin/page.h
    admin/server.h
    admin/status_page.h
  LINK nearhop_loop nearhop_wire nearhop_control nearhop_steering Threads::Threads
  PRIVATE_LINK nearhop_asio Boost::json PkgConfig::CARES PkgConfig::NGHTTP2 prometheus-cpp::core CLI11::CLI11 spdlog::spdlog)
set_source_files_properties(run/version.cpp PROPERTIES COMPILE_DEFINITIONS NEARHOP_VERSION="${PROJECT_VERSION}")

add_executable(nearhop run/main.cpp)
target_link_libraries(nearhop PRIVATE nearhop_proxy)
