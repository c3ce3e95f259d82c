// The headers that a request of MCP's second era repeats from its body, so that something between
// client and server can route it: they must agree with the body.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/api/mcp/messages.h"
#include "harness/api/route.h"

namespace bitloop::api::mcp {

constexpr const char* kVersionHeader = "mcp-protocol-version";
constexpr const char* kMethodHeader = "mcp-method";
constexpr const char* kNameHeader = "mcp-name";

// What the headers of a message of the second era must be, by name in lower case.
std::vector<std::pair<std::string, std::string>> repeated_headers(const Message& message);
// The headers say what the body says, encoded or not. Error: kHeaderMismatch.
RpcResult<void> check_headers(const Request& request, const Message& message);

// A value as it may stand in a header: itself where it is printable ASCII without spaces at its
// ends, else "=?base64?…?=".
std::string header_form(std::string_view value);

}  // namespace bitloop::api::mcp
