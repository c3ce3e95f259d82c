#include "harness/api/mcp/schemas.h"

#include <string>
#include <utility>
#include <vector>

namespace bitloop::api::mcp {
namespace {

using nlohmann::ordered_json;

ordered_json typed(const char* type, const char* description) {
  return {{"type", type}, {"description", description}};
}

ordered_json nullable(const char* type, const char* description) {
  return {{"type", ordered_json::array({type, "null"})}, {"description", description}};
}

ordered_json list_of(ordered_json items, const char* description) {
  return {{"type", "array"}, {"items", std::move(items)}, {"description", description}};
}

// All members are always there; a missing number is null.
ordered_json object_of(std::vector<std::pair<std::string, ordered_json>> members) {
  ordered_json properties = ordered_json::object();
  ordered_json required = ordered_json::array();
  for (auto& [name, schema] : members) {
    required.push_back(name);
    properties[name] = std::move(schema);
  }
  return {{"type", "object"}, {"properties", properties}, {"required", required}};
}

ordered_json session_id() { return typed("string", "the session's id"); }

ordered_json editable() {
  return list_of(
      {{"type", "array"}, {"items", {{"type", "integer"}}}, {"minItems", 2}, {"maxItems", 2}},
      "first and last line of each region that may be edited");
}

std::vector<std::pair<std::string, ordered_json>> test_members() {
  return {{"test", typed("integer", "its number")},
          {"status", typed("string", "running, ok, or how it failed")},
          {"message", typed("string", "the stages, with numbers or the failure")},
          {"metrics", nullable("object", "named as the ledger's columns; null while it runs")},
          {"decision", nullable("object",
                                "keep or revert: verdict, against, difference, noise, "
                                "same_as, baselines, advice; null while it runs")},
          {"commit", typed("string", "the candidate that was tested")},
          {"seed", typed("integer", "of the run")},
          {"tests_left", typed("integer", "tests that the session may still start")}};
}

ordered_json session_document() {
  return object_of({{"id", session_id()},
                    {"task", typed("string", "what is optimised")},
                    {"quantizer", typed("string", "what the candidate started from")},
                    {"agent", typed("string", "who works here")},
                    {"state", typed("string", "open, testing or closed")},
                    {"created", typed("string", "UTC")},
                    {"commit", typed("string", "the newest of the session")},
                    {"tests_total", typed("integer", "the budget")},
                    {"tests_left", typed("integer", "what is left of it")},
                    {"submitted", nullable("integer", "the test that is final")},
                    {"best", nullable("integer", "the test that the next is compared with")},
                    {"forked_from", typed("string", "session/test, or empty")},
                    {"tags", list_of(typed("object", "{tag, test}; test null: the session's"),
                                     "labels of the session and of its tests")},
                    {"tests", list_of(object_of(test_members()), "the tests so far")}});
}

ordered_json event() {
  return object_of({{"commit", typed("string", "in the journal")},
                    {"time", typed("integer", "seconds since 1970")},
                    {"event", typed("string", "edit, undo, revert, check, test-started, …")},
                    {"message", typed("string", "what happened")},
                    {"test", nullable("integer", "the test it belongs to")}});
}

}  // namespace

ordered_json begin_schema() {
  ordered_json file = object_of({{"path", typed("string", "for view")},
                                 {"lines", typed("integer", "how many")},
                                 {"editable", editable()}});
  return object_of(
      {{"session", session_id()},
       {"state", session_document()},
       {"files", list_of(std::move(file), "the candidate first; others are read-only")},
       {"task", typed("object", "rules, budget, baselines, allowed config")},
       {"view", typed("string", "the candidate, with line numbers")}});
}

ordered_json view_schema() {
  return object_of({{"session", session_id()},
                    {"path", typed("string", "the file")},
                    {"editable", editable()},
                    {"view", typed("string", "the lines, with their numbers")},
                    {"commit", typed("string", "the newest of the session")}});
}

ordered_json edit_schema() {
  return object_of({{"session", session_id()},
                    {"message", typed("string", "what was done")},
                    {"commit", typed("string", "the edit in the journal")},
                    {"editable", editable()},
                    {"view", typed("string", "the region after the change")},
                    {"warnings", list_of(typed("string", "one sentence"),
                                         "that it changes nothing, or was tested before")}});
}

ordered_json check_schema() {
  ordered_json finding = object_of({{"rule", typed("string", "what was audited")},
                                    {"ok", typed("boolean", "whether it holds")},
                                    {"detail", typed("string", "what was found")}});
  return object_of({{"session", session_id()},
                    {"ok", typed("boolean", "whether a test may be spent on it")},
                    {"findings", list_of(std::move(finding), "one a rule")},
                    {"bits_per_weight", nullable("number", "of the BitLinear layers")},
                    {"ms", typed("integer", "how long it took")},
                    {"warnings", list_of(typed("string", "a sentence"),
                                         "that a tested candidate did the same")}});
}

ordered_json test_schema() {
  auto members = test_members();
  members.insert(members.begin(), {"session", session_id()});
  return object_of(std::move(members));
}

ordered_json results_schema() {
  ordered_json listed = object_of({{"id", session_id()},
                                   {"task", typed("string", "what is optimised")},
                                   {"agent", typed("string", "who works there")},
                                   {"state", typed("string", "open, testing or closed")},
                                   {"tests_left", typed("integer", "of its budget")}});
  ordered_json schema =
      object_of({{"results", list_of(typed("object", "a row, named as the ledger's columns"),
                                     "finished tests, lowest val_loss first")}});
  schema["properties"]["session"] = session_id();
  schema["properties"]["state"] = session_document();
  schema["properties"]["history"] = list_of(event(), "the session's events, oldest first");
  schema["properties"]["sessions"] =
      list_of(std::move(listed), "where no session was given: all of them");
  return schema;
}

ordered_json summary_schema() {
  return object_of(
      {{"session", session_id()},
       {"task", typed("string", "what is optimised")},
       {"goal", typed("string", "in a line")},
       {"agent", typed("string", "who works here")},
       {"state", typed("string", "open, testing or closed")},
       {"forked_from", typed("string", "session/test, or empty")},
       {"tests_total", typed("integer", "the budget")},
       {"tests_left", typed("integer", "what is left of it")},
       {"noise", nullable("number", "two single runs that differ by less cannot be told apart")},
       {"best", nullable("object", "the test that the next is compared with")},
       {"candidate", typed("object", "commit, same_as (a test), against_best (a diff in short)")},
       {"next", typed("string", "what to do next")},
       {"tags", list_of(typed("string", "a label"), "of the session")},
       {"ideas", list_of(typed("object",
                               "test, description, status, val_loss, bits_per_weight, "
                               "verdict, tags, diff"),
                         "what was tried, newest first")},
       {"ideas_left_out", typed("integer", "older ones")}});
}

}  // namespace bitloop::api::mcp
