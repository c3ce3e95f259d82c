#include "harness/api/mcp/protocol.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "harness/api/mcp/resources.h"
#include "harness/api/mcp/versions.h"
#include "harness/base/text.h"
#include "harness/base/version.h"

namespace bitloop::api::mcp {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxClientName = 60;
constexpr int kTimeToLiveMs = 60'000;  // of lists, in a client's cache: they change with a restart

constexpr const char* kInstructions =
    "bitloop trains a small GPT-2 with your quantizer, a Lua file, in a jail, and scores it. Call "
    "begin(task=\"quick\"), read program.md with view(path=\"program.md\"), then edit, check "
    "(free), "
    "test (charged) and submit. A session's id is all you need to go on later: begin(session=…).";

ordered_json server_info() {
  return {{"name", "bitloop"}, {"title", "bitloop"}, {"version", version()}};
}

ordered_json capabilities() {
  const ordered_json none = ordered_json::object();
  return {{"tools", none}, {"resources", none}, {"prompts", none}, {"completions", none}};
}

// How a client calls itself: a word for the ledger's column `agent`.
std::string client_name(const json& info) {
  if (!info.is_object() || !info.contains("name") || !info["name"].is_string()) return "";
  std::string name = single_line(info["name"].get<std::string>());
  if (name.size() > kMaxClientName) name.resize(kMaxClientName);
  return is_valid_utf8(name) ? name : "";
}

bool is_cacheable(const std::string& method) {
  return method == "server/discover" || method.ends_with("/list") || method == "resources/read";
}

// What results of the second era say beside their content.
void stamp(const std::string& method, ordered_json& result) {
  result["resultType"] = "complete";
  result["_meta"][kServerInfoKey] = server_info();
  if (!is_cacheable(method)) return;
  result["ttlMs"] = method == "resources/read" ? 0 : kTimeToLiveMs;
  result["cacheScope"] = "private";
}

ordered_json discovery() {
  return {{"supportedVersions", ordered_json::array({kModernVersion})},
          {"capabilities", capabilities()},
          {"instructions", kInstructions}};
}

}  // namespace

Protocol::Protocol(sessions::Service& service, std::vector<Route> routes)
    : service_(service), tools_(service, std::move(routes)) {}

RpcResult<Protocol::Opened> Protocol::initialize(const Message& request) const {
  const json asked = request.params.value("protocolVersion", json());
  if (!asked.is_string())
    return rpc_fail(kInvalidParams, "Give the \"protocolVersion\" that you speak.");
  const std::string agreed(negotiate(asked.get<std::string>()));
  const ordered_json result = {{"protocolVersion", agreed},
                               {"capabilities", capabilities()},
                               {"serverInfo", server_info()},
                               {"instructions", kInstructions}};
  return Opened{
      std::make_shared<Connection>(agreed, client_name(request.params.value("clientInfo", json()))),
      result_message(request.id, result)};
}

ordered_json Protocol::answer(const Message& request, const Peer& peer,
                              const Exchange& exchange) const {
  try {
    auto answered = result(request, peer, exchange);
    if (!answered) return error_message(request.id, answered.error());
    if (peer.modern) stamp(request.method, *answered);
    return result_message(request.id, *answered);
  } catch (const std::exception& error) {
    spdlog::error("mcp {}: {}", request.method, error.what());
    return error_message(request.id,
                         {kInternalError, "The server failed at this request; its log says why."});
  }
}

RpcResult<ordered_json> Protocol::result(const Message& request, const Peer& peer,
                                         const Exchange& exchange) const {
  const std::string& method = request.method;
  // All lists are given whole, so no cursor was ever handed out.
  if (method.ends_with("/list") && !request.params.value("cursor", json()).is_null())
    return rpc_fail(kInvalidParams, "There is no such cursor; leave it out.");
  if (method == "tools/call") return tools_.call(request, peer, exchange);
  if (method == "tools/list") return ordered_json{{"tools", tools_.list(peer.modern)}};
  if (method == "resources/list") return list_resources(service_);
  if (method == "resources/templates/list") return list_resource_templates();
  if (method == "resources/read") return read_resource(service_, request, peer.modern, peer.caller);
  if (method == "prompts/list") return list_prompts();
  if (method == "prompts/get") return get_prompt(service_, request);
  if (method == "completion/complete") return complete(service_, request, peer.caller);
  if (method == "server/discover" && peer.modern) return discovery();
  if (method == "ping" && !peer.modern) return ordered_json::object();
  return rpc_fail(kMethodNotFound,
                  fmt::format("Method not found: {}", single_line(method).substr(0, 80)));
}

ordered_json Protocol::answer_unless_cancelled(const Message& request, const Peer& peer,
                                               Exchange exchange, Pending& pending,
                                               const CancelFlag& flag) const {
  exchange.abandoned = [flag, gone = exchange.abandoned] { return *flag || (gone && gone()); };
  ordered_json answered = *flag ? ordered_json() : answer(request, peer, exchange);
  pending.end(request.id, flag);
  return *flag ? ordered_json() : answered;
}

bool Protocol::may_wait(const Message& request) {
  if (request.method != "tools/call") return false;
  const json tool = request.params.value("name", json());
  return tool == "test" || tool == "check";
}

Peer modern_peer(const Message& request) {
  return {std::string(kModernVersion), true, client_name(request.meta(kClientInfoKey)), nullptr};
}

}  // namespace bitloop::api::mcp
