// The tools themselves: for each its fields, its words and what it does.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "harness/api/access.h"
#include "harness/api/mcp/progress.h"
#include "harness/api/mcp/schemas.h"
#include "harness/api/mcp/tools.h"
#include "harness/api/mcp/wording.h"
#include "harness/api/render.h"
#include "harness/api/routes.h"

namespace bitloop::api::mcp {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int64_t kDefaultWaitS = 30;  // below the time-outs of common clients
constexpr int64_t kDefaultRows = 10;
constexpr const char* kCandidate = "candidate.lua";
constexpr const char* kSession = "/v1/sessions/{id}";
constexpr const char* kFile = "/v1/sessions/{id}/files/{path...}";

constexpr const char* kSessionHelp =
    "the id that begin returned; may be left out on a connection that has one session";

// Of the ledger's columns those that say what was tried and how good it is.
constexpr const char* kRowMembers[] = {
    "session", "test",     "type",    "agent",           "task",      "quantizer", "status",
    "flags",   "val_loss", "val_bpb", "bits_per_weight", "submitted", "commit",    "description"};

// {"session": …} and then the members of the document.
ordered_json with_session(const std::string& session, const ordered_json& document) {
  ordered_json answer = {{"session", session}};
  for (const auto& [name, value] : document.items()) answer[name] = value;
  return answer;
}

Calls::Input on_session(const std::string& session, json body = json::object()) {
  return {{{"id", session}}, json::object(), std::move(body)};
}

Result<ordered_json> file_document(const ToolCall& call, const std::string& session,
                                   const std::string& path, json query) {
  BITLOOP_ASSIGN(document, call.calls.call("GET", kFile,
                                           {{{"id", session}, {"path", path}}, std::move(query)}));
  document.erase("content");  // the view has it, with the numbers that edits name
  return with_session(session, document);
}

// A session without its files and its history, which have places of their own.
ordered_json state_of(ordered_json document) {
  document.erase("files");
  document.erase("history");
  return document;
}

Result<std::string> new_session(const ToolCall& call) {
  if (!call.arguments.contains("task") && !call.arguments.contains("from")) {
    std::string names;
    for (const tasks::Task& task : call.service.tasks())
      names += (names.empty() ? "" : ", ") + task.name;
    return fail("missing_field",
                fmt::format("Say in `task` what to optimise ({}), or in `session` which session to "
                            "go on with.",
                            names));
  }
  json body = call.arguments;
  if (!body.contains("agent") && !call.peer.client.empty() && !call.peer.caller)
    body["agent"] = call.peer.client;
  BITLOOP_ASSIGN(created, call.calls.call("POST", "/v1/sessions", {{}, json::object(), body}));
  return created["id"].get<std::string>();
}

Result<ToolAnswer> begin(ToolCall& call) {
  std::string session = call.session;
  if (!session.empty() && !call.arguments.empty())
    return fail("invalid_value",
                "Give `session` alone, to go on with it, or leave it out to begin a new one.");
  if (session.empty()) {
    BITLOOP_ASSIGN(created, new_session(call));
    session = std::move(created);
  }
  BITLOOP_ASSIGN(document, call.calls.call("GET", kSession, on_session(session)));
  BITLOOP_ASSIGN(file, file_document(call, session, kCandidate, json::object()));
  BITLOOP_ASSIGN(task, call.service.task(document["task"].get<std::string>()));
  if (call.peer.connection) call.peer.connection->take_up(session);
  ordered_json answer = {{"session", session},
                         {"state", state_of(document)},
                         {"files", document["files"]},
                         {"task", ordered_json(tasks::to_json(task))},
                         {"view", file["view"]}};
  return ToolAnswer{answer, begin_text(answer)};
}

Result<ToolAnswer> view(ToolCall& call) {
  json query = call.arguments;
  const std::string path = query.value("path", kCandidate);
  query.erase("path");
  BITLOOP_ASSIGN(document, file_document(call, call.session, path, std::move(query)));
  return ToolAnswer{document, document["view"]};
}

// edit, undo and revert.
Result<ToolAnswer> change(ToolCall& call, const char* pattern) {
  BITLOOP_ASSIGN(document,
                 call.calls.call("POST", pattern, on_session(call.session, call.arguments)));
  return ToolAnswer{with_session(call.session, document), change_text(document)};
}

Result<ToolAnswer> edit(ToolCall& call) {
  if (!call.arguments.contains("path")) call.arguments["path"] = kCandidate;
  return change(call, "/v1/sessions/{id}/edits");
}

Result<ToolAnswer> check(ToolCall& call) {
  BITLOOP_ASSIGN(document,
                 call.calls.call("POST", "/v1/sessions/{id}/checks", on_session(call.session)));
  return ToolAnswer{with_session(call.session, document), check_text(document)};
}

Result<ToolAnswer> test(ToolCall& call) {
  const bool polls = call.arguments.contains("test");
  if (polls && call.arguments.contains("description"))
    return fail("invalid_value",
                "Give `n` alone, to wait for that test, or `description`, to start a new one.");
  int64_t number = 0;
  if (polls) {
    number = call.arguments["test"];
    Calls::Input asked = on_session(call.session);
    asked.parameters["n"] = std::to_string(number);
    BITLOOP_TRY(call.calls.call("GET", "/v1/sessions/{id}/tests/{n}", asked));  // may it be seen?
  } else {
    json body = json::object();
    if (call.arguments.contains("description")) body["description"] = call.arguments["description"];
    BITLOOP_ASSIGN(started, call.calls.call("POST", "/v1/sessions/{id}/tests",
                                            on_session(call.session, std::move(body))));
    number = started["test"];
  }
  const int64_t wait_s = std::min(call.arguments.value("wait", kDefaultWaitS), kMaxWaitS);
  BITLOOP_ASSIGN(ended, wait_for_test(call.service, call.session, number, wait_s * 1000,
                                      call.exchange, call.progress_token));
  const ordered_json document = with_session(call.session, render(ended));
  std::string progress;
  if (ended.status == "running")
    progress =
        RunFollower(call.service.run_dir(call.session, number) / "events.jsonl").look().message;
  return ToolAnswer{document, test_text(document, progress)};
}

Result<ToolAnswer> submit(ToolCall& call) {
  BITLOOP_ASSIGN(document, call.calls.call("POST", "/v1/sessions/{id}/submission",
                                           on_session(call.session, call.arguments)));
  return ToolAnswer{with_session(call.session, document), document["message"]};
}

// The best `limit` rows, of one task where it is given.
ordered_json best_rows(std::vector<ledger::StoredRow> rows, const std::string& task, size_t limit) {
  if (!task.empty())
    std::erase_if(rows, [&](const ledger::StoredRow& row) { return row.field("task") != task; });
  // Only those that are shown are taken apart.
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::vector<std::pair<double, const ledger::StoredRow*>> order;
  order.reserve(rows.size());
  for (const ledger::StoredRow& row : rows) {
    const std::string_view text = row.field("val_loss");
    double loss = kNone;
    std::from_chars(text.data(), text.data() + text.size(), loss);
    order.emplace_back(loss, &row);
  }
  std::ranges::stable_sort(order, {}, [](const auto& entry) { return entry.first; });
  order.resize(std::min(order.size(), limit));
  ordered_json list = ordered_json::array();
  for (const auto& [loss, row] : order) {
    const json document = ledger::to_json(row->row());
    ordered_json shown;
    for (const char* member : kRowMembers) shown[member] = document.at(member);
    list.push_back(std::move(shown));
  }
  return list;
}

Result<ToolAnswer> results(ToolCall& call) {
  std::string session = call.session;
  if (session.empty() && call.peer.connection)
    session = call.peer.connection->only_session().value_or("");
  std::string task = call.arguments.value("task", "");
  ordered_json answer = ordered_json::object();
  if (!session.empty()) {
    BITLOOP_ASSIGN(document, call.calls.call("GET", kSession, on_session(session)));
    if (task.empty()) task = document["task"];
    answer["session"] = session;
    answer["history"] = document["history"];
    answer["state"] = state_of(std::move(document));
  } else {
    answer["sessions"] = ordered_json::array();
    for (const sessions::ListedSession& listed : call.service.list())
      if (sees(call.peer.caller, listed.token))
        answer["sessions"].push_back({{"id", listed.id},
                                      {"task", listed.task},
                                      {"agent", listed.agent},
                                      {"state", listed.state},
                                      {"tests_left", listed.tests_left}});
  }
  const int64_t limit = call.arguments.value("limit", kDefaultRows);
  answer["results"] =
      best_rows(visible_results(call.peer.caller, call.service), task, static_cast<size_t>(limit));
  return ToolAnswer{answer, results_text(answer)};
}

Result<ToolAnswer> summary(ToolCall& call) {
  BITLOOP_ASSIGN(document,
                 call.calls.call("GET", "/v1/sessions/{id}/summary", on_session(call.session)));
  return ToolAnswer{document, summary_text(document)};
}

ordered_json hints(bool read_only, bool destructive, bool idempotent) {
  return {{"readOnlyHint", read_only},
          {"destructiveHint", destructive},
          {"idempotentHint", idempotent},
          {"openWorldHint", false}};
}

// The fields of a route's body, none of them required, since the tool has a default for it or says
// better what is missing.
std::vector<Field> optional(std::vector<Field> fields, std::string_view name) {
  for (Field& field : fields)
    if (field.name == name) field.required = false;
  return fields;
}

Field file_field() {
  return {"path", FieldType::kString, false, "a file of the session; default candidate.lua",
          "filename"};
}

Field test_number_field() {
  return {"test", FieldType::kInteger, false, "wait for this test instead of starting one", "n", 1};
}

std::vector<Field> view_fields(const Calls& calls) {
  std::vector<Field> fields = calls.route("GET", kFile).query;
  fields.insert(fields.begin(), file_field());
  return fields;
}

std::vector<Field> test_fields(const Calls& calls) {
  std::vector<Field> fields = calls.route("POST", "/v1/sessions/{id}/tests").body;
  fields.push_back(test_number_field());
  fields.push_back({"wait", FieldType::kInteger, false,
                    "seconds to wait for the end, at most 60; default 30", "", 0});
  return fields;
}

}  // namespace

std::vector<Tool> make_tools(const Calls& calls) {
  const auto body = [&calls](const char* pattern) { return calls.route("POST", pattern).body; };
  return {
      {"begin", "Begin or resume a session",
       "Begin a session on a task, or take up one that exists by its id (after a lost connection "
       "or "
       "a lost context). Returns the session's id, the task's rules and the candidate.",
       optional(body("/v1/sessions"), "task"), false, "take up this session; nothing else is given",
       begin_schema(), hints(false, false, false), begin},
      {"view", "Read a file",
       "Show lines of candidate.lua, or of a read-only file: program.md (what to do), lua.md (the "
       "language), model.md, quantizers/NAME.lua. Editable lines have no bar after their number.",
       view_fields(calls), true, kSessionHelp, view_schema(), hints(true, false, true), view},
      {"edit", "Edit the candidate",
       "Change editable lines of candidate.lua. op: replace (start_line, end_line, content), "
       "insert "
       "(after_line, content), rewrite (region, content) or str_replace (old_str, new_str). Line "
       "numbers move with every edit: take them from the newest view. A refused edit changes "
       "nothing.",
       optional(body("/v1/sessions/{id}/edits"), "path"), true, kSessionHelp, edit_schema(),
       hints(false, false, false), edit},
      {"undo", "Take back edits", "Take back the last n edits of the candidate.",
       body("/v1/sessions/{id}/undo"), true, kSessionHelp, edit_schema(),
       hints(false, false, false),
       [](ToolCall& call) { return change(call, "/v1/sessions/{id}/undo"); }},
      {"revert", "Go back to a test",
       "The candidate as it was at a test, or at a commit of this session.",
       body("/v1/sessions/{id}/revert"), true, kSessionHelp, edit_schema(),
       hints(false, false, true),
       [](ToolCall& call) { return change(call, "/v1/sessions/{id}/revert"); }},
      {"check",
       "Check the candidate (free)",
       "The free pre-flight: loads the candidate and audits it on a probe. Check after every edit; "
       "never test what fails it.",
       {},
       true,
       kSessionHelp,
       check_schema(),
       hints(false, false, true),
       check},
      {"test", "Train and score the candidate",
       "Train the model with the candidate and score it: costs one test of the budget. Waits for "
       "the end; while the status is running, call it again with n, the number of the test, which "
       "costs nothing.",
       test_fields(calls), true, kSessionHelp, test_schema(), hints(false, false, false), test},
      {"submit", "Submit a test as final",
       "Choose the test that counts. Final: it closes the session. Only a test that ended as ok "
       "can "
       "be submitted.",
       body("/v1/sessions/{id}/submission"), true, kSessionHelp, test_schema(),
       hints(false, true, true), submit},
      {"results",
       "Results so far",
       "The session's state and history, and the ledger's best results on its task. Without a "
       "session: all sessions and the best results of all tasks.",
       {{"task", FieldType::kString, false, "only this task's results"},
        {"limit", FieldType::kInteger, false, "how many results; default 10", "", 1, 1000}},
       false,
       kSessionHelp,
       results_schema(),
       hints(true, false, true),
       results},
      {"summary",
       "The session in short",
       "What was tried in the session and what came of it, the best, the candidate now and what to "
       "do next, in one short answer: for whoever lost the context.",
       {},
       true,
       kSessionHelp,
       summary_schema(),
       hints(true, false, true),
       summary},
  };
}

}  // namespace bitloop::api::mcp
