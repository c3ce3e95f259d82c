#include "harness/api/mcp/tools.h"

#include <fmt/format.h>

#include "harness/api/routes.h"
#include "harness/base/text.h"

namespace bitloop::api::mcp {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Some of the service's sentences name an HTTP call as the way out; here it is a tool.
constexpr std::pair<std::string_view, std::string_view> kWaysOut[] = {
    {"session_not_found", "results() lists the sessions, and begin(task=…) starts one."},
    {"test_running", "wait for it with test(n=N), then try again."},
    {"no_tests_left", "choose one of them with submit(n=N)."},
    {"file_not_found", "begin(session=…) lists the files."},
    {"session_closed", "begin(task=…) starts a new one."},
};

std::string in_words_of_tools(const Error& error) {
  for (const auto& [code, way_out] : kWaysOut) {
    const size_t end = error.message.find(';');
    if (error.code == code && end != std::string::npos)
      return error.message.substr(0, end + 2) + std::string(way_out);
  }
  return error.message;
}

ordered_json text_content(const std::string& text) {
  return ordered_json::array({{{"type", "text"}, {"text", text}}});
}

ordered_json refusal(const Error& error) {
  return {{"content", text_content(in_words_of_tools(error))},
          {"isError", true},
          {"_meta", {{"bitloop/code", error.code}}}};
}

Field session_field(const Tool& tool) {
  return {"session", FieldType::kString, false, tool.session_description};
}

// The session that a call is about: the one it names, else the connection's only one.
Result<std::string> session_of(const Tool& tool, const json& arguments, const Peer& peer) {
  if (arguments.contains("session")) return arguments["session"].get<std::string>();
  if (!tool.needs_session) return std::string();
  if (!peer.connection) return std::unexpected(session_missing());
  return peer.connection->only_session();
}

}  // namespace

Tools::Tools(sessions::Service& service, std::vector<Route> routes)
    : service_(service), calls_(std::move(routes)), tools_(make_tools(calls_)) {}

ordered_json Tools::list(bool modern) const {
  ordered_json list = ordered_json::array();
  for (const Tool& tool : tools_) {
    std::vector<Field> fields = tool.fields;
    fields.push_back(session_field(tool));
    fields.back().required = modern && tool.needs_session;
    list.push_back({{"name", tool.name},
                    {"title", tool.title},
                    {"description", tool.description},
                    {"inputSchema", object_schema(fields)},
                    {"outputSchema", tool.output_schema},
                    {"annotations", tool.annotations}});
  }
  return list;
}

RpcResult<ordered_json> Tools::call(const Message& message, const Peer& peer,
                                    const Exchange& exchange) const {
  const json name = message.params.value("name", json());
  const Tool* tool = nullptr;
  for (const Tool& known : tools_)
    if (name == known.name) tool = &known;
  if (tool == nullptr)
    return rpc_fail(
        kInvalidParams,
        fmt::format("Unknown tool: {}", single_line(name.is_string() ? name.get<std::string>()
                                                                     : std::string("(no name)"))
                                            .substr(0, 80)));
  json arguments = message.params.value("arguments", json::object());
  if (!arguments.is_object()) return rpc_fail(kInvalidParams, "\"arguments\" must be an object.");
  // Models write null for what they leave out.
  for (auto member = arguments.begin(); member != arguments.end();)
    member = member->is_null() ? arguments.erase(member) : std::next(member);

  std::vector<Field> fields = tool->fields;
  fields.push_back(session_field(*tool));
  auto checked = check_members(arguments, fields);
  if (!checked) return refusal(checked.error());
  auto session = session_of(*tool, *checked, peer);
  if (!session) return refusal(session.error());
  checked->erase("session");
  const Calls calls = calls_.as(peer.caller);
  ToolCall call{calls, service_, std::move(*checked),          std::move(*session),
                peer,  exchange, message.meta("progressToken")};
  const auto answer = tool->run(call);
  if (!answer) return refusal(answer.error());
  return ordered_json{{"content", text_content(answer->text)},
                      {"structuredContent", answer->structured},
                      {"isError", false}};
}

}  // namespace bitloop::api::mcp
