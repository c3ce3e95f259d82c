// The tools: an agent's whole work, as MCP's tools/list shows it and tools/call does it.
//
// What a tool refuses is an answer with `isError` whose text is one sentence that says what to do;
// only an unknown tool and arguments that are no object are errors of the protocol.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/api/mcp/calls.h"
#include "harness/api/mcp/exchange.h"
#include "harness/api/mcp/messages.h"
#include "harness/sessions/service.h"

namespace bitloop::api::mcp {

// What a tool answers with: a document that fits its output schema, and the same in the words that
// an agent reads.
struct ToolAnswer {
  nlohmann::ordered_json structured;
  std::string text;
};

// What a tool works on.
struct ToolCall {
  const Calls& calls;
  sessions::Service& service;
  nlohmann::json arguments;  // checked, without `session`
  std::string session;       // "" where the tool needs none and none was given
  const Peer& peer;
  const Exchange& exchange;
  nlohmann::json progress_token;  // or null
};

struct Tool {
  std::string name;
  std::string title;
  std::string description;
  std::vector<Field> fields;  // `session` is not among them
  bool needs_session = true;
  std::string session_description;
  nlohmann::ordered_json output_schema;
  nlohmann::ordered_json annotations;
  std::function<Result<ToolAnswer>(ToolCall&)> run;
};

// The table of tools. Field tables are taken from the routes.
std::vector<Tool> make_tools(const Calls& calls);

// Thread-safe.
class Tools {
 public:
  // The service must outlive the tools.
  Tools(sessions::Service& service, std::vector<Route> routes);

  // The result's `tools`. In the second era `session` is required.
  nlohmann::ordered_json list(bool modern) const;
  // The result of tools/call. Error: kInvalidParams.
  RpcResult<nlohmann::ordered_json> call(const Message& message, const Peer& peer,
                                         const Exchange& exchange) const;
  const Calls& calls() const { return calls_; }

 private:
  sessions::Service& service_;
  Calls calls_;
  std::vector<Tool> tools_;
};

}  // namespace bitloop::api::mcp
