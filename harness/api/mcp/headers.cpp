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

}  // namespace

std::vector<std::pair<std::string, std::string>> repeated_headers(const Message& message) {
  std::vector<std::pair<std::string, std::string>> headers;
  const auto repeat = [&](const char* header, const nlohmann::json& value) {
    if (value.is_string()) headers.emplace_back(header, header_form(value.get<std::string>()));
  };
  repeat(kVersionHeader, message.meta(kVersionKey));
  repeat(kMethodHeader, message.method);
  if (const char* parameter = name_parameter(message.method))
    repeat(kNameHeader, message.params.value(parameter, nlohmann::json()));
  return headers;
}

RpcResult<void> check_headers(const Request& request, const Message& message) {
  for (const auto& [name, value] : repeated_headers(message))
    if (request.header(name) != value)
      return rpc_fail(kHeaderMismatch,
                      fmt::format("The header {} is not what the body says.", name));
  return {};
}

std::string header_form(std::string_view value) {
  const bool plain = std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; });
  const bool trimmed = value.empty() || (value.front() != ' ' && value.back() != ' ');
  const bool looks_encoded = value.starts_with("=?base64?") && value.ends_with("?=");
  if (plain && trimmed && !looks_encoded) return std::string(value);
  return "=?base64?" + base64(value) + "?=";
}

}  // namespace bitloop::api::mcp
