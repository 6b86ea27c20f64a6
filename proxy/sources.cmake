# The staircase: each folder may use the folders above it here (.ci/arrows). One static library per folder.

nearhop_library(account
  SOURCES
    account/access_line.cpp account/access_log.cpp account/counters.cpp account/fault.cpp account/log_file.cpp
    account/log_text.cpp account/log_writer.cpp account/logging.cpp account/version.cpp
  HEADERS
    account/access_line.h account/access_log.h account/byte_ring.h account/counters.h account/fault.h
    account/log_file.h account/log_text.h account/log_writer.h account/logging.h account/version.h
  LINK nearhop_loop nearhop_wire nearhop_steering Threads::Threads
  PRIVATE_LINK Boost::json spdlog::spdlog)

set_source_files_properties(account/version.cpp PROPERTIES COMPILE_DEFINITIONS NEARHOP_VERSION="${PROJECT_VERSION}")

nearhop_library(shared
  SOURCES
    shared/address_counts.cpp shared/address_hash.cpp shared/capacity.cpp shared/failures.cpp
    shared/keyed_hash.cpp shared/origin_load.cpp shared/pins.cpp shared/rate_table.cpp shared/registry.cpp
  HEADERS
    shared/address_counts.h shared/address_hash.h shared/capacity.h shared/failure_rows.h shared/failures.h
    shared/file_stamp.h shared/keyed_hash.h shared/lost_paths.h shared/origin_load.h shared/pins.h
    shared/rate_table.h shared/registry.h shared/reports.h shared/snapshot.h
  LINK nearhop_account)

nearhop_library(message
  SOURCES
    message/forwarded.cpp message/headers.cpp message/location.cpp
  HEADERS
    message/forwarded.h message/headers.h message/line_writer.h message/location.h message/request.h
    message/source.h
  LINK nearhop_shared)

nearhop_library(origin
  SOURCES
    origin/agent.cpp origin/announcement.cpp origin/dial.cpp origin/http1_channel.cpp origin/pool.cpp
    origin/server_name.cpp
  HEADERS
    origin/agent.h origin/announcement.h origin/channel.h origin/connection.h origin/dial.h origin/http1_channel.h
    origin/pool.h origin/server_name.h
  LINK nearhop_message)

nearhop_library(exchange
  SOURCES
    exchange/admit.cpp exchange/answer.cpp exchange/ask.cpp exchange/connect.cpp exchange/context.cpp
    exchange/course.cpp exchange/deliver.cpp exchange/exchange.cpp exchange/hedge.cpp exchange/offer.cpp
    exchange/patience.cpp exchange/peer_trust.cpp exchange/relay.cpp exchange/replay.cpp exchange/request_id.cpp
    exchange/tunnel.cpp exchange/upload.cpp exchange/viewer.cpp exchange/wait.cpp
  HEADERS
    exchange/answer.h exchange/attempt.h exchange/budget.h exchange/codec.h exchange/context.h exchange/course.h
    exchange/dice.h exchange/download.h exchange/exchange.h exchange/least_rate.h exchange/origin_times.h
    exchange/patience.h exchange/peer_trust.h exchange/reader_pace.h exchange/relay.h exchange/replay.h
    exchange/request_id.h exchange/stopwatch.h exchange/tunnel.h exchange/upload.h exchange/viewer.h
  LINK nearhop_origin)

nearhop_library(client
  SOURCES
    client/authority.cpp client/http1_codec.cpp client/http2_callbacks.cpp client/http2_end.cpp
    client/http2_farewell.cpp client/http2_host.cpp client/http2_large_values.cpp client/http2_memory.cpp
    client/http2_meter.cpp client/http2_receive.cpp client/http2_request.cpp client/http2_session.cpp
    client/http2_stream.cpp client/http2_streams.cpp client/listener.cpp client/proxy_protocol.cpp
    client/session.cpp client/session_http1.cpp client/sessions.cpp
  HEADERS
    client/authority.h client/http1_codec.h client/http2_cut_streams.h client/http2_frame.h
    client/http2_large_values.h client/http2_memory.h client/http2_meter.h client/http2_session.h
    client/http2_stream.h client/linger.h client/listener.h client/proxy_protocol.h client/session.h
    client/sessions.h
  LINK nearhop_exchange
  PRIVATE_LINK PkgConfig::NGHTTP2)

nearhop_library(simulate
  SOURCES
    simulate/attempt.cpp simulate/condition.cpp simulate/exchanges.cpp simulate/group.cpp simulate/isolation.cpp
    simulate/judge.cpp simulate/network.cpp simulate/read.cpp simulate/report.cpp simulate/simulate.cpp
    simulate/verdicts.cpp
  HEADERS
    simulate/condition.h simulate/events.h simulate/exchanges.h simulate/group.h simulate/network.h
    simulate/outcome.h simulate/random.h simulate/read.h simulate/report.h simulate/scenario.h simulate/simulate.h
    simulate/verdicts.h
  LINK nearhop_exchange
  PRIVATE_LINK Boost::json)

nearhop_library(setup
  SOURCES
    setup/build.cpp setup/build_origins.cpp setup/database_cache.cpp setup/listener_key.cpp setup/memory_limit.cpp
    setup/rto.cpp setup/secrets.cpp setup/trusted.cpp
  HEADERS
    setup/build.h setup/build_origins.h setup/database_cache.h setup/listener_key.h setup/memory_limit.h
    setup/rto.h setup/secrets.h setup/trusted.h
  LINK nearhop_exchange
  PRIVATE_LINK Boost::json)

nearhop_library(control
  SOURCES
    control/control.cpp control/control_check.cpp control/geo_watch.cpp control/headroom_watch.cpp
    control/http_client.cpp control/http_connection.cpp control/http_connection.h control/isolation_watch.cpp
    control/leader_watch.cpp control/memory_watch.cpp control/origin_verdict.cpp control/origin_watch.cpp
    control/origin_watches.cpp control/override_watch.cpp control/overrides.cpp control/probe.cpp
    control/probe_head.cpp control/ranges_watch.cpp control/resolver.cpp control/start_only.cpp
    control/traffic_watch.cpp control/watched_files.cpp
  HEADERS
    control/control.h control/control_check.h control/geo_watch.h control/headroom_watch.h control/http_client.h
    control/isolation_watch.h control/leader_watch.h control/memory_watch.h control/origin_watch.h
    control/origin_watches.h control/override_watch.h control/overrides.h control/probe.h control/probe_head.h
    control/ranges_watch.h control/resolver.h control/start_only.h control/status.h control/traffic_watch.h
    control/watched_files.h
  LINK nearhop_setup
  PRIVATE_LINK nearhop_asio Boost::json PkgConfig::CARES)

nearhop_library(admin
  SOURCES
    admin/http_session.cpp admin/http_session.h admin/metrics.cpp admin/metrics_edge.cpp admin/metrics_origins.cpp
    admin/metrics_process.cpp admin/metrics_sessions.cpp admin/metrics_traffic.cpp admin/override_page.cpp
    admin/page.cpp admin/query.cpp admin/question.cpp admin/server.cpp admin/status_page.cpp
  HEADERS
    admin/family.h admin/metrics.h admin/override_page.h admin/page.h admin/query.h admin/question.h
    admin/server.h admin/status_page.h
  LINK nearhop_control nearhop_client
  PRIVATE_LINK nearhop_asio Boost::json prometheus-cpp::core)

nearhop_library(run
  SOURCES
    run/admin_call.cpp run/admin_trust.cpp run/check_command.cpp run/commands.cpp run/demo.cpp run/demo_origin.cpp
    run/explain_command.cpp run/notify.cpp run/order_command.cpp run/run.cpp run/server.cpp
    run/server_listeners.cpp run/simulate_command.cpp run/try_start.cpp run/worker.cpp
  HEADERS
    run/admin_call.h run/admin_trust.h run/commands.h run/demo_origin.h run/notify.h run/server.h run/try_start.h
    run/worker.h
  LINK nearhop_admin nearhop_simulate
  PRIVATE_LINK nearhop_asio Boost::json CLI11::CLI11 spdlog::spdlog)

add_executable(nearhop run/main.cpp)
target_link_libraries(nearhop PRIVATE nearhop_run)
