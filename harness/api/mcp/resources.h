// What a client can read without a tool: the texts and quantizers, the tasks, the ledger, a
// session's candidate; and the prompt `program`, which is program.md with a task named.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/api/mcp/messages.h"
#include "harness/sessions/service.h"

namespace bitloop::api::mcp {

// The members of the results of resources/list, resources/templates/list and prompts/list.
nlohmann::ordered_json list_resources(const sessions::Service& service);
nlohmann::ordered_json list_resource_templates();
nlohmann::ordered_json list_prompts();

// The result of resources/read. Errors: kInvalidParams (no `uri`, or a wrong one in the second
// era), kResourceNotFound (in the first).
RpcResult<nlohmann::ordered_json> read_resource(const sessions::Service& service,
                                                const Message& message, bool modern);
// The result of prompts/get. Error: kInvalidParams (another prompt, another task).
RpcResult<nlohmann::ordered_json> get_prompt(const sessions::Service& service,
                                             const Message& message);
// The result of completion/complete: names of tasks and sessions that begin with what was typed.
// Error: kInvalidParams.
RpcResult<nlohmann::ordered_json> complete(const sessions::Service& service,
                                           const Message& message);

}  // namespace bitloop::api::mcp
