#include "harness/api/mcp/versions.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/text.h"

namespace bitloop::api::mcp {

bool is_handshake_version(std::string_view version) {
  return std::ranges::find(kHandshakeVersions, version) != kHandshakeVersions.end();
}

std::string_view negotiate(std::string_view asked) {
  const auto found = std::ranges::find(kHandshakeVersions, asked);
  return found != kHandshakeVersions.end() ? *found : kHandshakeVersions.back();
}

bool has_envelope(const Message& message) { return !message.meta(kVersionKey).is_null(); }

RpcResult<void> check_envelope(const Message& message) {
  for (const char* key : {kVersionKey, kClientCapabilitiesKey})
    if (message.meta(key).is_null())
      return rpc_fail(kInvalidParams, fmt::format("params._meta lacks \"{}\".", key));
  const nlohmann::json version = message.meta(kVersionKey);
  if (!version.is_string())
    return rpc_fail(kInvalidParams, fmt::format("\"{}\" must be a string.", kVersionKey));
  if (version != kModernVersion)
    return std::unexpected(unsupported_version(version.get<std::string>()));
  return {};
}

std::string unknown_handshake_version(std::string_view requested) {
  return fmt::format("Unsupported protocol version {}; the server speaks {}.",
                     single_line(requested).substr(0, 60),
                     join({kHandshakeVersions.begin(), kHandshakeVersions.end()}, ", "));
}

RpcError unsupported_version(std::string_view requested) {
  return {kUnsupportedVersion,
          "Unsupported protocol version",
          {{"supported", nlohmann::ordered_json::array({kModernVersion})},
           {"requested", requested.substr(0, 60)}}};
}

}  // namespace bitloop::api::mcp
