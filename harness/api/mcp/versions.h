// The revisions of the Model Context Protocol that bitloop speaks, and in what they differ here.
//
// There are two eras. Up to 2025-11-25 a connection begins with `initialize` and has a state. From
// 2026-07-28 on every request stands alone: it carries version and client in `params._meta`, the
// server keeps nothing between two requests, and results say `resultType`.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "harness/api/mcp/messages.h"

namespace bitloop::api::mcp {

constexpr std::array<std::string_view, 4> kHandshakeVersions = {"2024-11-05", "2025-03-26",
                                                                "2025-06-18", "2025-11-25"};
constexpr std::string_view kModernVersion = "2026-07-28";
constexpr std::string_view kBatchVersion = "2025-03-26";    // the only one with batches
constexpr std::string_view kAssumedVersion = "2025-03-26";  // of HTTP requests that name none

constexpr const char* kVersionKey = "io.modelcontextprotocol/protocolVersion";
constexpr const char* kClientInfoKey = "io.modelcontextprotocol/clientInfo";
constexpr const char* kClientCapabilitiesKey = "io.modelcontextprotocol/clientCapabilities";
constexpr const char* kServerInfoKey = "io.modelcontextprotocol/serverInfo";

bool is_handshake_version(std::string_view version);
// What `initialize` is answered with: the version asked for, or the newest of its era.
std::string_view negotiate(std::string_view asked);

// Whether a request belongs to the second era: it carries the version in `params._meta`.
bool has_envelope(const Message& message);
// The envelope's own rules. Errors: kInvalidParams (a part is missing), kUnsupportedVersion (its
// data has `supported` and `requested`).
RpcResult<void> check_envelope(const Message& message);
// What a request of the first era is told that names another version.
std::string unknown_handshake_version(std::string_view requested);
RpcError unsupported_version(std::string_view requested);

}  // namespace bitloop::api::mcp
