#include "harness/api/mcp/headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "harness/api/mcp/versions.h"

namespace bitloop::api::mcp {
namespace {

constexpr std::string_view kEncodedBegin = "=?base64?";
constexpr std::string_view kEncodedEnd = "?=";

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

// What the headers repeat, as it stands in the body.
std::vector<std::pair<std::string, std::string>> repeated_values(const Message& message) {
  std::vector<std::pair<std::string, std::string>> values;
  const auto repeat = [&](const char* header, const nlohmann::json& value) {
    if (value.is_string()) values.emplace_back(header, value.get<std::string>());
  };
  repeat(kVersionHeader, message.meta(kVersionKey));
  repeat(kMethodHeader, message.method);
  if (const char* parameter = name_parameter(message.method))
    repeat(kNameHeader, message.params.value(parameter, nlohmann::json()));
  return values;
}

bool is_encoded(std::string_view text) {
  return text.starts_with(kEncodedBegin) && text.ends_with(kEncodedEnd) &&
         text.size() >= kEncodedBegin.size() + kEncodedEnd.size();
}

std::string encoded(std::string_view value) {
  return fmt::format("{}{}{}", kEncodedBegin, base64(value), kEncodedEnd);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> repeated_headers(const Message& message) {
  auto headers = repeated_values(message);
  for (auto& [name, value] : headers) value = header_form(value);
  return headers;
}

RpcResult<void> check_headers(const Request& request, const Message& message) {
  for (const auto& [name, value] : repeated_values(message)) {
    // A client may encode what needs no encoding; a value has one encoded form.
    const std::string header = request.header(name);
    if (header != (is_encoded(header) ? encoded(value) : value))
      return rpc_fail(kHeaderMismatch,
                      fmt::format("The header {} is not what the body says.", name));
  }
  return {};
}

std::string header_form(std::string_view value) {
  const bool plain = std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; });
  const bool trimmed = value.empty() || (value.front() != ' ' && value.back() != ' ');
  if (plain && trimmed && !is_encoded(value)) return std::string(value);
  return encoded(value);
}

}  // namespace bitloop::api::mcp
