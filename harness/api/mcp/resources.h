// What a client can read without a tool: the texts and quantizers, the tasks, the ledger, a
// session's candidate; and the prompt `program`, which is program.md with a task named.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/api/access.h"
#include "harness/api/mcp/messages.h"
#include "harness/sessions/service.h"

namespace bitloop::api::mcp {

// The members of the results of resources/list, resources/templates/list and prompts/list.
nlohmann::ordered_json list_resources(const sessions::Service& service);
nlohmann::ordered_json list_resource_templates();
nlohmann::ordered_json list_prompts();

// The result of resources/read, of what the caller may see. Errors: kInvalidParams (no `uri`, or a
// wrong one in the second era), kResourceNotFound (in the first).
RpcResult<nlohmann::ordered_json> read_resource(const sessions::Service& service,
                                                const Message& message, bool modern,
                                                const MaybeCaller& caller = {});
// The result of prompts/get. Error: kInvalidParams (another prompt, another task).
RpcResult<nlohmann::ordered_json> get_prompt(const sessions::Service& service,
                                             const Message& message);
// The result of completion/complete: names of tasks and of the caller's sessions that begin with
// what was typed.
// Error: kInvalidParams.
RpcResult<nlohmann::ordered_json> complete(const sessions::Service& service, const Message& message,
                                           const MaybeCaller& caller = {});

}  // namespace bitloop::api::mcp
