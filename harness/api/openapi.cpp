#include <map>
#include <string>
#include <utility>

#include "harness/api/documented.h"
#include "harness/api/possible_problems.h"
#include "harness/api/problem.h"
#include "harness/api/routes.h"
#include "harness/base/text.h"
#include "harness/base/version.h"

namespace bitloop::api {
namespace {

using nlohmann::ordered_json;

ordered_json field_schema(const Field& field) {
  ordered_json schema = {{"type", field.type == FieldType::kString ? "string" : "integer"},
                         {"description", field.description}};
  if (field.type == FieldType::kInteger && field.min >= 0) schema["minimum"] = field.min;
  if (!field.choices.empty()) schema["enum"] = field.choices;
  return schema;
}

ordered_json path_parameter(const std::string& name) {
  static const std::map<std::string, std::pair<const char*, const char*>> kKnown = {
      {"id", {"a session", "brave-otter-1f3a"}},
      {"n", {"the number of a test, from 1", "1"}},
      {"task", {"the name of a task", "quick"}},
      {"path", {"a file of the session", "candidate.lua"}},
      {"tag", {"a label", "median"}},
      {"file", {"a file of the dashboard", "main.js"}}};
  ordered_json parameter = {
      {"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}};
  if (const auto known = kKnown.find(name); known != kKnown.end()) {
    parameter["description"] = known->second.first;
    parameter["example"] = known->second.second;
  }
  return parameter;
}

// "/v1/sessions/{id}/files/{path...}" to the form of OpenAPI; its parameters are added to `names`.
std::string openapi_path(const std::string& pattern, std::vector<std::string>& names) {
  std::vector<std::string> parts = split(pattern, '/');
  for (std::string& part : parts) {
    if (!part.starts_with('{')) continue;
    std::string name = part.substr(1, part.size() - 2);
    if (name.ends_with("...")) name.resize(name.size() - 3);
    names.push_back(name);
    part = "{" + name + "}";
  }
  return join(parts, "/");
}

ordered_json request_body(const Route& route) {
  if (route.raw_body)
    return {{"required", true},
            {"content", {{"application/json", {{"schema", ordered_json::object()}}}}}};
  const ordered_json schema = object_schema(route.body);
  ordered_json content = {{"schema", schema}};
  if (const Documented* known = documented(route); known != nullptr && !known->request.is_null())
    content["example"] = known->request;
  return {{"required", schema.contains("required")}, {"content", {{"application/json", content}}}};
}

// The other status of success that a route may answer with, without a body: an event stream that
// has no more events, a notification of JSON-RPC. nullptr: there is none.
const char* success_without_body(const Route& route) {
  if (route.content_type == "text/event-stream") return "204";
  return route.raw_body && route.method == "POST" ? "202" : nullptr;
}

// The schema of an answer, with an example where there is one.
ordered_json answer_of(const Route& route) {
  const Documented* known = documented(route);
  const bool is_json = route.content_type == "application/json";
  if (known == nullptr) return {{"schema", {{"type", is_json ? "object" : "string"}}}};
  ordered_json schema = {{"type", "string"}};
  if (!known->schema.empty()) schema = {{"$ref", "#/components/schemas/" + known->schema}};
  return {{"schema", std::move(schema)}, {"example", known->answer}};
}

// {"404": {…}, …}: each status of an error that the call may answer with, and for which codes.
ordered_json error_responses(const Route& route) {
  ordered_json responses = ordered_json::object();
  for (const std::string_view code : possible_problems(route)) {
    const std::string name(code);
    ordered_json& response = responses[std::to_string(status_of(code))];
    response["description"] = response.contains("description")
                                  ? response["description"].get<std::string>() + ", " + name
                                  : name;
    ordered_json& content = response["content"][std::string(kProblemType)];
    content["schema"] = {{"$ref", "#/components/schemas/Problem"}};
    content["examples"][name] = {{"$ref", "#/components/examples/" + name}};
  }
  if (!route.raw_body) return responses;
  // JSON-RPC's own errors have the statuses that MCP's transport names.
  for (const char* status : {"400", "404"}) {
    ordered_json& response = responses[status];
    if (!response.contains("description")) response["description"] = "an error of JSON-RPC";
    response["content"]["application/json"] = {{"schema", {{"type", "object"}}}};
  }
  return responses;
}

ordered_json operation(const Route& route, const std::vector<std::string>& path_names) {
  ordered_json parameters = ordered_json::array();
  for (const std::string& name : path_names) parameters.push_back(path_parameter(name));
  for (const Field& field : route.query)
    parameters.push_back({{"name", field.name},
                          {"in", "query"},
                          {"required", field.required},
                          {"description", field.description},
                          {"schema", field_schema(field)}});
  std::vector<std::string> headers = route.headers;
  if (route.method != "GET" && !route.raw_body)
    headers.insert(headers.end(), {"Idempotency-Key", "If-Match"});
  for (const std::string& name : headers)
    parameters.push_back(
        {{"name", name}, {"in", "header"}, {"required", false}, {"schema", {{"type", "string"}}}});
  ordered_json done = {{"description", "done"}};
  if (!route.content_type.empty()) done["content"][route.content_type] = answer_of(route);
  ordered_json responses = {{std::to_string(route.success), done}};
  if (const char* status = success_without_body(route))
    responses[status] = {{"description", "done, and there is nothing to say"}};
  responses.update(error_responses(route));
  ordered_json document = {
      {"summary", route.summary}, {"parameters", parameters}, {"responses", responses}};
  if (route.method == "POST" && (!route.body.empty() || route.raw_body))
    document["requestBody"] = request_body(route);
  return document;
}

ordered_json problem_schema() {
  ordered_json properties = ordered_json::object();
  for (const char* name : {"type", "title", "detail", "code"})
    properties[name] = {{"type", "string"}};
  properties["status"] = {{"type", "integer"}};
  ordered_json codes = ordered_json::array();
  for (const Problem& problem : problems()) codes.push_back(problem.code);
  properties["code"]["enum"] = std::move(codes);
  return {{"type", "object"},
          {"properties", properties},
          {"required", ordered_json::array({"type", "title", "status", "detail", "code"})}};
}

std::string method_name(const Route& route) {
  std::string method = route.method;
  for (char& c : method) c = static_cast<char>(std::tolower(c));
  return method;
}

}  // namespace

ordered_json object_schema(const std::vector<Field>& fields) {
  ordered_json properties = ordered_json::object();
  ordered_json required = ordered_json::array();
  for (const Field& field : fields) {
    properties[field.name] = field_schema(field);
    if (!field.alias.empty()) {
      properties[field.alias] = field_schema(field);
      properties[field.alias]["description"] = "another name of " + field.name;
    } else if (field.required) {
      required.push_back(field.name);
    }
  }
  ordered_json schema = {
      {"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}

ordered_json openapi_document(const std::vector<Route>& routes) {
  ordered_json paths = ordered_json::object();
  for (const Route& route : routes) {
    std::vector<std::string> names;
    const std::string path = openapi_path(route.pattern, names);
    paths[path][method_name(route)] = operation(route, names);
  }
  ordered_json examples = ordered_json::object();
  for (const Problem& problem : problems())
    examples[std::string(problem.code)] = {
        {"summary", problem.meaning},
        {"value", ordered_json::parse(problem_document(
                      {std::string(problem.code), std::string(problem.meaning)}))}};
  ordered_json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "bitloop"},
        {"version", version()},
        {"description", "Edit a Lua quantizer, train a GPT-2 with it in a jail, read the score."}}},
      {"paths", paths}};
  document["components"]["schemas"] = documented_schemas();
  document["components"]["schemas"]["Problem"] = problem_schema();
  document["components"]["examples"] = std::move(examples);
  return document;
}

ordered_json with_security(ordered_json document, const std::vector<Route>& routes) {
  document["components"]["securitySchemes"]["token"] = {
      {"type", "http"},
      {"scheme", "bearer"},
      {"description", "`bitloop token add NAME --role agent|reviewer` makes one"}};
  document["security"] = ordered_json::array({ordered_json{{"token", ordered_json::array()}}});
  for (const Route& route : routes) {
    std::vector<std::string> names;
    if (route.open)
      document["paths"][openapi_path(route.pattern, names)][method_name(route)]["security"] =
          ordered_json::array();
  }
  return document;
}

}  // namespace bitloop::api
