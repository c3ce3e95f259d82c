// JSON-RPC 2.0 as the Model Context Protocol uses it: taking a message apart, and putting answers
// together. No transport and no MCP method is known here.
#pragma once

#include <expected>
#include <nlohmann/json.hpp>
#include <string>

namespace bitloop::api::mcp {

// Codes of JSON-RPC, then those of MCP.
constexpr int kParseError = -32700;
constexpr int kInvalidRequest = -32600;
constexpr int kMethodNotFound = -32601;
constexpr int kInvalidParams = -32602;
constexpr int kInternalError = -32603;
constexpr int kResourceNotFound = -32002;
constexpr int kHeaderMismatch = -32020;
constexpr int kUnsupportedVersion = -32022;

// An error of the protocol: the request itself was wrong. What a tool refuses is not one of these
// but a result with `isError`.
struct RpcError {
  int code = kInternalError;
  std::string message;
  nlohmann::ordered_json data = nullptr;  // null: none
};
template <typename T>
using RpcResult = std::expected<T, RpcError>;

inline std::unexpected<RpcError> rpc_fail(int code, std::string message,
                                          nlohmann::ordered_json data = nullptr) {
  return std::unexpected(RpcError{code, std::move(message), std::move(data)});
}

struct Message {
  enum class Kind { kRequest, kNotification, kResponse };
  Kind kind = Kind::kRequest;
  nlohmann::json id;      // of a request: a string or an integer
  std::string method;     // of a request or notification
  nlohmann::json params;  // an object, perhaps empty

  // A member of params._meta, or null.
  nlohmann::json meta(const char* name) const;
};

// Error: kInvalidRequest, for whatever is not one JSON-RPC message.
RpcResult<Message> parse_message(const nlohmann::json& document);
// The id that an answer to this document has, whatever else is wrong with it; null when none can be
// read.
nlohmann::json readable_id(const nlohmann::json& document);

nlohmann::ordered_json result_message(const nlohmann::json& id,
                                      const nlohmann::ordered_json& result);
// `id` null: the request could not be read far enough to know it.
nlohmann::ordered_json error_message(const nlohmann::json& id, const RpcError& error);
nlohmann::ordered_json notification_message(const std::string& method,
                                            const nlohmann::ordered_json& params);

// As one line of text, whatever bytes its strings hold.
std::string to_line(const nlohmann::ordered_json& message);

}  // namespace bitloop::api::mcp
