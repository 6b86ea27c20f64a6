#include "proxy/control/probe_head.h"

#include "proxy/origin/server_name.h"
#include "proxy/wire/head.h"

#include <string_view>
#include <vector>

namespace nearhop::control {
namespace {

/// What users ask with, unless the operator has another word for probes.
const std::string& host_of(const shared::OriginInfo& info, const conf::Probe& settings) {
    if (!settings.host.empty()) return settings.host;
    return info.probe_host.empty() ? info.host_field : info.probe_host;
}

}  // namespace

std::string probe_server_name(const shared::OriginInfo& info, const conf::Probe& settings) {
    std::string followed = origin::followed_name(info, host_of(info, settings));
    return followed.empty() ? info.server_name : followed;
}

std::string probe_head(const shared::OriginInfo& info, const conf::Probe& settings) {
    std::string head = "GET " + settings.path + " HTTP/1.1\r\nHost: " + host_of(info, settings) + "\r\n";
    std::vector<std::string_view> written;
    const auto write = [&](std::string_view name, std::string_view value) {
        for (const auto known : written)
            if (wire::equal_ignoring_case(known, name)) return;
        written.push_back(name);
        for (const auto part : {name, std::string_view{": "}, value, std::string_view{"\r\n"}}) head += part;
    };
    for (const auto& field : settings.headers) write(field.name, field.value.value);
    for (const auto& field : info.headers.set) write(field.name, field.value.value);
    write("User-Agent", "nearhop-probe");
    write("Accept", "*/*");
    write("Accept-Encoding", "identity");
    return head + "Connection: keep-alive\r\n\r\n";
}

}  // namespace nearhop::control
