#include "harness/api/mcp/resources.h"

#include <fmt/format.h>

#include "harness/base/text.h"
#include "harness/tasks/tasks.h"

namespace bitloop::api::mcp {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kFiles = "bitloop://files/";
constexpr std::string_view kTasks = "bitloop://tasks";
constexpr std::string_view kTaskPrefix = "bitloop://tasks/";
constexpr std::string_view kSessionPrefix = "bitloop://sessions/";
constexpr std::string_view kCandidateSuffix = "/candidate.lua";
constexpr std::string_view kResults = "bitloop://results.tsv";
constexpr const char* kPrompt = "program";
constexpr size_t kMostCompletions = 100;

std::string type_of(std::string_view path) {
  return path.ends_with(".md")    ? "text/markdown"
         : path.ends_with(".lua") ? "text/x-lua"
                                  : "text/plain";
}

const char* description_of(std::string_view path) {
  if (path == "program.md") return "what to do here, and by which rules; read it first";
  if (path == "lua.md") return "the language of a quantizer";
  if (path == "model.md") return "the model that is trained";
  return "a published method, as a file to start from";
}

struct Content {
  std::string type;
  std::string text;
};

Result<Content> read(const sessions::Service& service, std::string_view uri,
                     const MaybeCaller& caller) {
  if (uri == kTasks) {
    ordered_json list = ordered_json::array();
    for (const tasks::Task& task : service.tasks())
      list.push_back(ordered_json(tasks::to_json(task)));
    return Content{"application/json", ordered_json{{"tasks", list}}.dump(2)};
  }
  if (uri == kResults)
    return Content{"text/tab-separated-values", visible_results_tsv(caller, service)};
  if (uri.starts_with(kTaskPrefix)) {
    BITLOOP_ASSIGN(task, service.task(uri.substr(kTaskPrefix.size())));
    return Content{"application/json", ordered_json(tasks::to_json(task)).dump(2)};
  }
  if (uri.starts_with(kSessionPrefix) && uri.ends_with(kCandidateSuffix)) {
    const std::string_view rest = uri.substr(kSessionPrefix.size());
    const std::string_view session = rest.substr(0, rest.size() - kCandidateSuffix.size());
    if (!sees_session(caller, service, session))
      return std::unexpected(sessions::session_not_found(session));
    BITLOOP_ASSIGN(file, service.view(session, "candidate.lua", {}, {}));
    return Content{"text/x-lua", file.content};
  }
  if (!uri.starts_with(kFiles)) return fail("file_not_found", "resources/list has what there is.");
  const std::string_view path = uri.substr(kFiles.size());
  BITLOOP_ASSIGN(text, service.shared_file(path));
  return Content{type_of(path), std::move(text)};
}

// A member of the parameters that must be a string, "" when it is none.
std::string text_of(const json& params, const char* name) {
  const auto found = params.find(name);
  return found != params.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

ordered_json list_resources(const sessions::Service& service) {
  ordered_json list = ordered_json::array();
  for (const sessions::FileInfo& file : service.shared_files())
    list.push_back({{"uri", std::string(kFiles) + file.path},
                    {"name", file.path},
                    {"description", description_of(file.path)},
                    {"mimeType", type_of(file.path)}});
  list.push_back({{"uri", kTasks},
                  {"name", "tasks"},
                  {"description", "what can be optimised: rules, budgets, baselines"},
                  {"mimeType", "application/json"}});
  list.push_back({{"uri", kResults},
                  {"name", "results.tsv"},
                  {"description", "the ledger: every finished test"},
                  {"mimeType", "text/tab-separated-values"}});
  return {{"resources", list}};
}

ordered_json list_resource_templates() {
  return {
      {"resourceTemplates",
       ordered_json::array({{{"uriTemplate", "bitloop://tasks/{task}"},
                             {"name", "task"},
                             {"description", "one task: rules, budget, baselines, allowed config"},
                             {"mimeType", "application/json"}},
                            {{"uriTemplate", "bitloop://sessions/{session}/candidate.lua"},
                             {"name", "candidate"},
                             {"description", "the candidate of a session as it is now"},
                             {"mimeType", "text/x-lua"}}})}};
}

ordered_json list_prompts() {
  ordered_json arguments = ordered_json::array({{{"name", "task"},
                                                 {"description", "what to optimise; default quick"},
                                                 {"required", false}}});
  ordered_json prompt = {{"name", kPrompt},
                         {"title", "Do research on a task"},
                         {"description", "program.md: the goal, the rules, the loop"},
                         {"arguments", arguments}};
  return {{"prompts", ordered_json::array({prompt})}};
}

RpcResult<ordered_json> read_resource(const sessions::Service& service, const Message& message,
                                      bool modern, const MaybeCaller& caller) {
  const std::string uri = text_of(message.params, "uri");
  if (uri.empty()) return rpc_fail(kInvalidParams, "Give the resource's \"uri\".");
  const auto content = read(service, uri, caller);
  if (!content)
    return rpc_fail(modern ? kInvalidParams : kResourceNotFound,
                    "Resource not found; resources/list and resources/templates/list have them.",
                    {{"uri", single_line(uri).substr(0, 200)}});
  return ordered_json{
      {"contents", ordered_json::array(
                       {{{"uri", uri}, {"mimeType", content->type}, {"text", content->text}}})}};
}

RpcResult<ordered_json> get_prompt(const sessions::Service& service, const Message& message) {
  if (text_of(message.params, "name") != kPrompt)
    return rpc_fail(kInvalidParams, "There is one prompt, \"program\".");
  const json arguments = message.params.value("arguments", json::object());
  if (!arguments.is_object()) return rpc_fail(kInvalidParams, "\"arguments\" must be an object.");
  const std::string given = text_of(arguments, "task");
  const auto task = service.task(given.empty() ? "quick" : given);
  if (!task) return rpc_fail(kInvalidParams, task.error().message);
  const auto program = service.shared_file("program.md");
  if (!program) return rpc_fail(kInternalError, program.error().message);
  const std::string text = fmt::format(
      "{}\n## Here\n\nYour task is `{}`: {}\n\nThe calls above are tools of the same meaning: "
      "begin, "
      "view, edit, undo, revert, check, test, submit, results. Start with begin(task=\"{}\").\n",
      *program, task->name, task->description, task->name);
  return ordered_json{
      {"description", fmt::format("program.md for the task {}", task->name)},
      {"messages",
       ordered_json::array({{{"role", "user"}, {"content", {{"type", "text"}, {"text", text}}}}})}};
}

RpcResult<ordered_json> complete(const sessions::Service& service, const Message& message,
                                 const MaybeCaller& caller) {
  const json argument = message.params.value("argument", json::object());
  if (!argument.is_object() || !message.params.contains("ref"))
    return rpc_fail(kInvalidParams, "Give \"ref\" and \"argument\".");
  const std::string name = text_of(argument, "name");
  const std::string typed = text_of(argument, "value");
  ordered_json values = ordered_json::array();
  const auto offer = [&](const std::string& value) {
    if (value.starts_with(typed) && values.size() < kMostCompletions) values.push_back(value);
  };
  if (name == "task")
    for (const tasks::Task& task : service.tasks()) offer(task.name);
  if (name == "session")
    for (const sessions::ListedSession& session : service.list())
      if (sees(caller, session.token)) offer(session.id);
  return ordered_json{{"completion", {{"values", values}, {"hasMore", false}}}};
}

}  // namespace bitloop::api::mcp
