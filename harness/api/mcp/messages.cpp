#include "harness/api/mcp/messages.h"

namespace bitloop::api::mcp {

using nlohmann::json;
using nlohmann::ordered_json;

json Message::meta(const char* name) const {
  const auto found = params.find("_meta");
  if (found == params.end() || !found->is_object() || !found->contains(name)) return nullptr;
  return found->at(name);
}

RpcResult<Message> parse_message(const json& document) {
  if (!document.is_object() || document.value("jsonrpc", json()) != "2.0")
    return rpc_fail(kInvalidRequest,
                    "Send one JSON-RPC message: an object with \"jsonrpc\": \"2.0\".");
  Message message;
  message.params = document.value("params", json());
  if (message.params.is_null())
    message.params = json::object();  // some clients write what is absent
  if (!message.params.is_object())
    return rpc_fail(kInvalidRequest, "\"params\" must be an object.");
  const bool has_id = document.contains("id");
  if (has_id) {
    message.id = document["id"];
    if (!message.id.is_string() && !message.id.is_number_integer())
      return rpc_fail(kInvalidRequest, "\"id\" must be a string or an integer.");
  }
  if (!document.contains("method")) {
    if (!has_id || (!document.contains("result") && !document.contains("error")))
      return rpc_fail(kInvalidRequest, "The message has no \"method\".");
    message.kind = Message::Kind::kResponse;
    return message;
  }
  if (!document["method"].is_string())
    return rpc_fail(kInvalidRequest, "\"method\" must be a string.");
  message.method = document["method"];
  message.kind = has_id ? Message::Kind::kRequest : Message::Kind::kNotification;
  return message;
}

json readable_id(const json& document) {
  if (!document.is_object()) return nullptr;
  const json id = document.value("id", json());
  return id.is_string() || id.is_number_integer() ? id : json();
}

ordered_json result_message(const json& id, const ordered_json& result) {
  return {{"jsonrpc", "2.0"}, {"id", ordered_json(id)}, {"result", result}};
}

ordered_json error_message(const json& id, const RpcError& error) {
  ordered_json body = {{"code", error.code}, {"message", error.message}};
  if (!error.data.is_null()) body["data"] = error.data;
  return {{"jsonrpc", "2.0"}, {"id", ordered_json(id)}, {"error", body}};
}

ordered_json notification_message(const std::string& method, const ordered_json& params) {
  return {{"jsonrpc", "2.0"}, {"method", method}, {"params", params}};
}

std::string to_line(const ordered_json& message) {
  return message.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace bitloop::api::mcp
