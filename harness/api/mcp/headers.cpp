#include "harness/api/mcp/headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "harness/api/mcp/versions.h"

namespace bitloop::api::mcp {
namespace {

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k)
      text += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63U] : '=';
  }
  return text;
}

// The parameter that the header Mcp-Name repeats, for the methods that have one.
const char* name_parameter(std::string_view method) {
  if (method == "tools/call" || method == "prompts/get") return "name";
  return method == "resources/read" ? "uri" : nullptr;
}

RpcResult<void> check(const Request& request, const char* header, const nlohmann::json& value) {
  if (value.is_string() && request.header(header) == header_form(value.get<std::string>()))
    return {};
  return rpc_fail(kHeaderMismatch, fmt::format("The header {} is not what the body says.", header));
}

}  // namespace

RpcResult<void> check_headers(const Request& request, const Message& message) {
  if (auto version = check(request, kVersionHeader, message.meta(kVersionKey)); !version)
    return version;
  if (auto method = check(request, kMethodHeader, message.method); !method) return method;
  const char* parameter = name_parameter(message.method);
  if (parameter == nullptr || !message.params.contains(parameter)) return {};
  return check(request, kNameHeader, message.params[parameter]);
}

std::string header_form(std::string_view value) {
  const bool plain = std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; });
  const bool trimmed = value.empty() || (value.front() != ' ' && value.back() != ' ');
  const bool looks_encoded = value.starts_with("=?base64?") && value.ends_with("?=");
  if (plain && trimmed && !looks_encoded) return std::string(value);
  return "=?base64?" + base64(value) + "?=";
}

}  // namespace bitloop::api::mcp
