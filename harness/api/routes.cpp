#include "harness/api/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "harness/api/access.h"
#include "harness/api/dashboard.h"
#include "harness/api/mcp/http.h"
#include "harness/api/memory.h"
#include "harness/api/page.h"
#include "harness/api/render.h"
#include "harness/api/traffic.h"
#include "harness/api/verification.h"
#include "harness/base/version.h"
#include "harness/sessions/cancel.h"

namespace bitloop::api {
namespace {

using nlohmann::ordered_json;
using sessions::Service;

Field text_field(const char* name, bool required, const char* description, const char* alias = "") {
  return Field{name, FieldType::kString, required, description, alias};
}

Field integer_field(const char* name, bool required, const char* description, int64_t min,
                    int64_t max = 1'000'000'000, const char* alias = "") {
  return Field{name, FieldType::kInteger, required, description, alias, min, max};
}

Field choice_field(const char* name, const char* description, std::vector<std::string> choices) {
  Field field = text_field(name, true, description);
  field.choices = std::move(choices);
  return field;
}

Response text_response(std::string body, const char* content_type) {
  Response response;
  response.body = std::move(body);
  response.content_type = content_type;
  return response;
}

const std::string& id_of(const Request& request) { return request.parameters.at("id"); }

Result<int64_t> test_of(const Request& request) {
  const std::string& text = request.parameters.at("n");
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos)
    return fail("test_not_found",
                fmt::format("'{}' is not the number of a test.", text.substr(0, 40)));
  return std::stoll(text);
}

std::optional<int64_t> query_number(const Request& request, const char* name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::nullopt : std::optional(found->get<int64_t>());
}

std::string query_text(const Request& request, const char* name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? "" : found->get<std::string>();
}

// Renders a value of the service, with the session's commit as ETag where the value has one.
template <typename Value>
Result<Response> answer(const Result<Value>& value, int status = 200) {
  if (!value) return std::unexpected(value.error());
  Response response = json_response(render(*value), status);
  if constexpr (requires { value->commit; }) {
    constexpr bool kIsTest = std::is_same_v<Value, sessions::TestView>;  // its commit is the test's
    if (!kIsTest) response.headers.emplace_back("ETag", '"' + value->commit + '"');
  }
  return response;
}

Result<Response> get_session(Service& service, const Request& request) {
  BITLOOP_ASSIGN(session, service.get(id_of(request)));
  BITLOOP_ASSIGN(history, service.history(id_of(request)));
  ordered_json document = render(session);
  document["history"] = ordered_json::array();
  for (const sessions::HistoryItem& item : history) document["history"].push_back(render(item));
  Response response = page_response(std::move(document), "history", request);
  response.headers.emplace_back("ETag", '"' + session.commit + '"');
  return response;
}

Result<Response> create_session(Service& service, const Request& request) {
  sessions::NewSession session;
  session.task = request.text("task").value_or("");
  session.from = request.text("from").value_or("");
  if (session.task.empty() && session.from.empty())
    return fail("missing_field",
                "Say in 'task' what to optimise, or in 'from' which test to go on from.");
  if (!session.from.empty() && request.text("quantizer"))
    return fail("invalid_value",
                "Give 'from' or 'quantizer': a session begins with the candidate of one of them.");
  session.quantizer = request.text("quantizer").value_or("ternary");
  session.tests = request.number("tests");
  session.token = request.caller ? request.caller->name : "";
  session.agent = request.text("agent").value_or(session.token);
  const auto created = service.create(session, terms_of(request));
  auto response = answer(created, 201);
  if (created) response->headers.emplace_back("Location", "/v1/sessions/" + created->id);
  return response;
}

Result<Response> edit_file(Service& service, const Request& request) {
  sessions::EditRequest edit;
  edit.op = *request.text("op");
  edit.path = *request.text("path");
  edit.start_line = request.number("start_line");
  edit.end_line = request.number("end_line");
  edit.after_line = request.number("after_line");
  edit.region = request.text("region");
  edit.content = request.text("content");
  edit.old_str = request.text("old_str");
  edit.new_str = request.text("new_str");
  edit.description = request.text("description").value_or("");
  return answer(service.edit(id_of(request), edit, terms_of(request)));
}

Result<Response> revert(Service& service, const Request& request) {
  const auto test = request.number("test");
  const auto commit = request.text("commit");
  if (test.has_value() == commit.has_value())
    return fail("missing_field", "Give either 'test' or 'commit', to say what to go back to.");
  if (test) return answer(service.revert_to_test(id_of(request), *test, terms_of(request)));
  return answer(service.revert_to_commit(id_of(request), *commit, terms_of(request)));
}

Result<Response> start_test(Service& service, const Request& request) {
  const auto started = service.start_test(id_of(request), request.text("description").value_or(""),
                                          terms_of(request));
  auto response = answer(started, 202);
  if (started)
    response->headers.emplace_back(
        "Location", fmt::format("/v1/sessions/{}/tests/{}", id_of(request), started->test));
  return response;
}

Result<Response> run_file(Service& service, const Request& request, const char* name,
                          const char* content_type) {
  BITLOOP_ASSIGN(number, test_of(request));
  BITLOOP_ASSIGN(text, service.run_file(id_of(request), number, name));
  return text_response(std::move(text), content_type);
}

void add_general(std::vector<Route>& routes, Service& service, const ApiOptions& options) {
  ordered_json layers = ordered_json::array();
  for (const LayerState& layer : options.sandbox)
    layers.push_back({{"layer", layer.layer}, {"state", layer.state}});
  const ordered_json health = {
      {"status", "ok"}, {"version", version()}, {"device", "cpu"}, {"sandbox", layers}};
  routes.push_back({"GET",
                    "/healthz",
                    "Whether the server is up, and which layers the jail has",
                    {},
                    {},
                    200,
                    "application/json",
                    [health](const Request&) { return json_response(health); }});
  routes.push_back({"GET",
                    "/v1/tasks",
                    "What can be optimised",
                    {},
                    {},
                    200,
                    "application/json",
                    [&service](const Request&) {
                      ordered_json list = ordered_json::array();
                      for (const tasks::Task& task : service.tasks())
                        list.push_back(ordered_json(tasks::to_json(task)));
                      return json_response({{"tasks", list}});
                    }});
  routes.push_back({"GET",
                    "/v1/tasks/{task}",
                    "One task: rules, budget, baselines, allowed config",
                    {},
                    {},
                    200,
                    "application/json",
                    [&service](const Request& request) -> Result<Response> {
                      BITLOOP_ASSIGN(task, service.task(request.parameters.at("task")));
                      return json_response(tasks::to_json(task));
                    }});
  routes.push_back({"GET",
                    "/v1/results",
                    "The ledger",
                    page_fields(),
                    {},
                    200,
                    "application/json",
                    [&service](const Request& request) {
                      return page_response(
                          "results", visible_results(request.caller, service),
                          [](const ledger::StoredRow& row) { return ledger::to_json(row.row()); },
                          request);
                    }});
  routes.push_back({"GET",
                    "/v1/results.tsv",
                    "The ledger as the file results.tsv",
                    {},
                    {},
                    200,
                    "text/tab-separated-values",
                    [&service](const Request& request) {
                      return text_response(visible_results_tsv(request.caller, service),
                                           "text/tab-separated-values; charset=utf-8");
                    }});
}

void add_sessions(std::vector<Route>& routes, Service& service) {
  routes.push_back(
      {"POST",
       "/v1/sessions",
       "Begin a session",
       {},
       {text_field("task", false, "name of a task (GET /v1/tasks); needed unless `from` is given"),
        text_field("from", false,
                   "SESSION/TEST: begin with the candidate of that test, on its task, in place of "
                   "a quantizer"),
        text_field("quantizer", false, "what the candidate starts from; default ternary"),
        integer_field("tests", false, "lowers the budget of tests", 1),
        text_field("agent", false, "who works here, for the ledger")},
       201,
       "application/json",
       [&service](const Request& request) { return create_session(service, request); }});
  routes.push_back({"GET",
                    "/v1/sessions",
                    "All sessions",
                    [] {
                      std::vector<Field> fields = page_fields();
                      fields.push_back(text_field(
                          "tag", false, "only those that have this tag, or a test with it"));
                      return fields;
                    }(),
                    {},
                    200,
                    "application/json",
                    [&service](const Request& request) -> Result<Response> {
                      const std::string tag = query_text(request, "tag");
                      std::vector<sessions::ListedSession> list = service.list();
                      std::erase_if(list, [&](const sessions::ListedSession& session) {
                        return !sees(request.caller, session.token) ||
                               (!tag.empty() &&
                                std::ranges::count(session.tags, tag, &sessions::Tag::tag) == 0);
                      });
                      std::optional<Error> unreadable;
                      const auto whole = [&](const sessions::ListedSession& session) {
                        const auto view = service.get(session.id);
                        if (!view) unreadable = view.error();
                        ordered_json document = view ? render(*view) : ordered_json::object();
                        document.erase("files");  // the same in every session but for the candidate
                        return document;
                      };
                      Response response = page_response("sessions", list, whole, request);
                      if (unreadable) return std::unexpected(*unreadable);
                      return response;
                    }});
  routes.push_back({"GET",
                    "/v1/sessions/{id}",
                    "One session: state, files, tests, history",
                    page_fields(),
                    {},
                    200,
                    "application/json",
                    [&service](const Request& request) { return get_session(service, request); }});
  routes.push_back({"GET",
                    "/v1/sessions/{id}/files/{path...}",
                    "A file of the session, with line numbers",
                    {integer_field("start_line", false, "first line to show, from 1", 1),
                     integer_field("end_line", false, "last line to show", 1)},
                    {},
                    200,
                    "application/json",
                    [&service](const Request& request) {
                      return answer(service.view(id_of(request), request.parameters.at("path"),
                                                 query_number(request, "start_line"),
                                                 query_number(request, "end_line")));
                    }});
  routes.push_back({"GET",
                    "/v1/sessions/{id}/diff",
                    "What changed in the candidate between two commits, as a unified diff",
                    {text_field("from", false, "a commit; default: the one before `to`"),
                     text_field("to", false, "a commit; default: the newest")},
                    {},
                    200,
                    "application/json",
                    [&service](const Request& request) {
                      return answer(service.diff(id_of(request), query_text(request, "from"),
                                                 query_text(request, "to")));
                    }});
  routes.push_back(
      {"POST",
       "/v1/sessions/{id}/edits",
       "Change a region of the candidate",
       {},
       {choice_field("op", "what to do", {"replace", "insert", "rewrite", "str_replace"}),
        text_field("path", true, "the file to change, candidate.lua", "filename"),
        integer_field("start_line", false, "replace: first line", -1'000'000'000),
        integer_field("end_line", false, "replace: last line", -1'000'000'000),
        integer_field("after_line", false, "insert: the line before", -1'000'000'000),
        text_field("region", false, "rewrite: the name after BEGIN EDITABLE"),
        text_field("content", false, "the new lines; \"\" deletes"),
        text_field("old_str", false, "str_replace: text that occurs once"),
        text_field("new_str", false, "str_replace: what takes its place"),
        text_field("description", false, "why, for the journal")},
       200,
       "application/json",
       [&service](const Request& request) { return edit_file(service, request); }});
  routes.push_back({"POST",
                    "/v1/sessions/{id}/undo",
                    "Take back edits",
                    {},
                    {integer_field("n", false, "how many; default 1", 1)},
                    200,
                    "application/json",
                    [&service](const Request& request) {
                      return answer(service.undo(id_of(request), request.number("n").value_or(1),
                                                 terms_of(request)));
                    }});
  routes.push_back({"POST",
                    "/v1/sessions/{id}/revert",
                    "The candidate as it was at a test or commit",
                    {},
                    {integer_field("test", false, "number of a test", 1, 1'000'000'000, "n"),
                     text_field("commit", false, "a commit of this session")},
                    200,
                    "application/json",
                    [&service](const Request& request) { return revert(service, request); }});
}

Error too_many_checks() {
  return {"too_many_checks",
          "Checks are asked for faster than they can run; wait for the answer to one before you "
          "send the next."};
}

void add_tests(std::vector<Route>& routes, Service& service) {
  const auto waiting = std::make_shared<Traffic>(kMostChecks);
  routes.push_back({"POST",
                    "/v1/sessions/{id}/checks",
                    "The free pre-flight",
                    {},
                    {},
                    200,
                    "application/json",
                    [&service, waiting](const Request& request) -> Result<Response> {
                      const auto place = waiting->enter(request.caller ? request.caller->name : "");
                      if (place == nullptr) return std::unexpected(too_many_checks());
                      BITLOOP_ASSIGN(document, service.check(id_of(request), terms_of(request)));
                      return json_response(document);
                    }});
  routes.push_back({"POST",
                    "/v1/sessions/{id}/tests",
                    "Train and score the candidate; costs one test",
                    {},
                    {text_field("description", false, "the idea, for the ledger")},
                    202,
                    "application/json",
                    [&service](const Request& request) { return start_test(service, request); }});
  routes.push_back({"GET",
                    "/v1/sessions/{id}/tests/{n}",
                    "A test; waits for its end up to `wait` seconds",
                    {integer_field("wait", false, "seconds; more than 60 is 60", 0)},
                    {},
                    200,
                    "application/json",
                    [&service](const Request& request) -> Result<Response> {
                      BITLOOP_ASSIGN(number, test_of(request));
                      const int64_t wait =
                          std::min(query_number(request, "wait").value_or(0), kMaxWaitS);
                      return answer(service.test(id_of(request), number, wait * 1000));
                    }});
  routes.push_back(
      {"DELETE",
       "/v1/sessions/{id}/tests/{n}",
       "Cancel a running or waiting test; it stays charged",
       {},
       {},
       200,
       "application/json",
       [&service](const Request& request) -> Result<Response> {
         BITLOOP_ASSIGN(number, test_of(request));
         return answer(sessions::cancel_test(service, id_of(request), number, terms_of(request)));
       }});
  routes.push_back({"GET",
                    "/v1/sessions/{id}/tests/{n}/log.tsv",
                    "The curve of a test",
                    {},
                    {},
                    200,
                    "text/tab-separated-values",
                    [&service](const Request& request) {
                      return run_file(service, request, "log.tsv",
                                      "text/tab-separated-values; charset=utf-8");
                    }});
  routes.push_back({"GET",
                    "/v1/sessions/{id}/tests/{n}/events.jsonl",
                    "The records of a test",
                    {},
                    {},
                    200,
                    "application/x-ndjson",
                    [&service](const Request& request) {
                      return run_file(service, request, "events.jsonl", "application/x-ndjson");
                    }});
  routes.push_back(
      {"POST",
       "/v1/sessions/{id}/submission",
       "Choose the final test; closes the session",
       {},
       {integer_field("test", true, "number of a test that ended as ok", 1, 1'000'000'000, "n")},
       200,
       "application/json",
       [&service](const Request& request) {
         return answer(service.submit(id_of(request), *request.number("test"), terms_of(request)));
       }});
}

}  // namespace

std::vector<Route> make_routes(Service& service, const ApiOptions& options) {
  std::vector<Route> routes;
  add_general(routes, service, options);
  add_sessions(routes, service);
  add_tests(routes, service);
  add_memory_routes(routes, service);
  add_verification_routes(routes, service);
  add_event_routes(routes, service, options.streams);
  add_dashboard_routes(routes, options.dashboard);
  guard_routes(routes, service);  // before MCP takes them: its tools are guarded, too
  for (Route& route : mcp::make_mcp_routes(service, routes)) routes.push_back(std::move(route));
  routes.push_back(
      {"GET", "/openapi.json", "This API, as OpenAPI 3.1", {}, {}, 200, "application/json", {}});
  guard_routes(routes, service);
  const ordered_json document = openapi_document(routes);
  const ordered_json with_tokens = with_security(document, routes);
  routes.back().handler = [document, with_tokens](const Request& request) {
    return json_response(request.caller ? with_tokens : document);
  };
  return routes;
}

}  // namespace bitloop::api
