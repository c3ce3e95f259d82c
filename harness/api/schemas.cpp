#include "harness/api/schemas.h"

#include "harness/ledger/row.h"

namespace bitloop::api::schemas {

using nlohmann::ordered_json;

namespace {

// With more members.
Members with(Members members, Members more) {
  for (auto& member : more) members.push_back(std::move(member));
  return members;
}

}  // namespace

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
ordered_json object_of(Members members) {
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

Members test_members() {
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

Members session_members() {
  return {{"id", session_id()},
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
          {"tests", list_of(object_of(test_members()), "the tests so far")}};
}

ordered_json event() {
  return object_of({{"commit", typed("string", "in the journal")},
                    {"time", typed("integer", "seconds since 1970")},
                    {"event", typed("string", "edit, undo, revert, check, test-started, …")},
                    {"message", typed("string", "what happened")},
                    {"test", nullable("integer", "the test it belongs to")}});
}

ordered_json file() {
  return object_of({{"path", typed("string", "for GET …/files/{path}")},
                    {"lines", typed("integer", "how many")},
                    {"editable", editable()}});
}

Members view_members() {
  return {{"path", typed("string", "the file")},
          {"editable", editable()},
          {"view", typed("string", "the lines, with their numbers")},
          {"commit", typed("string", "the newest of the session")}};
}

Members edit_members() {
  return {{"message", typed("string", "what was done")},
          {"commit", typed("string", "the edit in the journal")},
          {"editable", editable()},
          {"view", typed("string", "the region after the change")},
          {"warnings", list_of(typed("string", "one sentence"),
                               "that it changes nothing, or was tested before")}};
}

Members check_members() {
  ordered_json finding = object_of({{"rule", typed("string", "what was audited")},
                                    {"ok", typed("boolean", "whether it holds")},
                                    {"detail", typed("string", "what was found")}});
  return {
      {"ok", typed("boolean", "whether a test may be spent on it")},
      {"findings", list_of(std::move(finding), "one a rule")},
      {"bits_per_weight", nullable("number", "of the BitLinear layers")},
      {"ms", typed("integer", "how long it took")},
      {"warnings", list_of(typed("string", "a sentence"), "that a tested candidate did the same")}};
}

Members summary_members() {
  return {
      {"session", session_id()},
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
      {"ideas_left_out", typed("integer", "older ones")}};
}

ordered_json health() {
  ordered_json layer = object_of({{"layer", typed("string", "of the jail")},
                                  {"state", typed("string", "active, or why it is missing")}});
  return object_of({{"status", typed("string", "ok")},
                    {"version", typed("string", "of bitloop")},
                    {"device", typed("string", "what models are trained on")},
                    {"sandbox", list_of(std::move(layer), "the layers of the jail")}});
}

ordered_json task() {
  return object_of(
      {{"name", typed("string", "for POST /v1/sessions")},
       {"preset", typed("string", "model, data and schedule")},
       {"description", typed("string", "in a line")},
       {"rules", typed("object", "quantize_head, paper_compat, seed")},
       {"budget", typed("object", "tests: how many a session may start")},
       {"allowed_config", typed("object", "what a candidate may set: [lowest, highest]")},
       {"benchmarks", list_of(typed("string", "a benchmark"), "what the final model answers")},
       {"baselines",
        list_of(typed("object", "name, bits_per_weight, val_loss, …"), "what others reach")},
       {"noise_floor", nullable("number", "standard deviation of runs that differ by the seed")},
       {"early_stop", nullable("object", "when a hopeless test is ended, and how often wrongly")},
       {"init_from", nullable("string", "the trained model that its runs begin with")}});
}

ordered_json row() {
  Members members;
  for (const ledger::Column& column : ledger::columns()) {
    const std::string doc =
        column.unit[0] == '\0' ? column.doc : std::string(column.doc) + ", " + column.unit;
    const auto holds = [&]<typename Value>(Value ledger::Row::*) {
      if constexpr (std::is_same_v<Value, ledger::Number>) return nullable("number", doc.c_str());
      if constexpr (std::is_same_v<Value, ledger::Integer>) return nullable("integer", doc.c_str());
      if constexpr (std::is_same_v<Value, bool>) return typed("boolean", doc.c_str());
      if constexpr (std::is_same_v<Value, std::string>) return typed("string", doc.c_str());
      return list_of({{"type", "string"}}, doc.c_str());
    };
    members.emplace_back(column.name, std::visit(holds, column.field));
  }
  return object_of(std::move(members));
}

ordered_json listed_session() { return object_of(session_members()); }

ordered_json session() {
  return object_of(with(session_members(),
                        {{"files", list_of(file(), "the candidate first; others are read-only")},
                         {"history", list_of(event(), "oldest first")}}));
}

ordered_json new_session() {
  return object_of(with(session_members(),
                        {{"files", list_of(file(), "the candidate first; others are read-only")}}));
}

ordered_json file_view() {
  return object_of(with(view_members(), {{"content", typed("string", "the lines as they are")}}));
}

ordered_json diff() {
  return object_of({{"from", typed("string", "a commit")},
                    {"to", typed("string", "a later one")},
                    {"path", typed("string", "the candidate")},
                    {"diff", typed("string", "unified; empty when nothing changed")}});
}

ordered_json edit() { return object_of(edit_members()); }
ordered_json check() { return object_of(check_members()); }
ordered_json test() { return object_of(test_members()); }
ordered_json summary() { return object_of(summary_members()); }

ordered_json tags() {
  ordered_json tag = object_of(
      {{"tag", typed("string", "a label")}, {"test", nullable("integer", "null: the session's")}});
  return object_of({{"commit", typed("string", "the newest of the session")},
                    {"tags", list_of(std::move(tag), "of the session and of its tests")}});
}

ordered_json verification() {
  ordered_json run = object_of({{"seed", typed("integer", "hidden until now")},
                                {"test", nullable("string", "session/test; null before it starts")},
                                {"status", nullable("string",
                                                    "null before it starts; cancelled and "
                                                    "infrastructure: trained again when asked")},
                                {"val_loss", nullable("number", "its score")}});
  return object_of(
      {{"session", session_id()},
       {"test", typed("integer", "what was submitted")},
       {"commit", typed("string", "the candidate")},
       {"standing", typed("string", "holds, lucky, failed or undecided")},
       {"submitted", typed("object", "seed, val_loss")},
       {"hidden", typed("object", "runs, failed, val_loss (their mean), val_loss_sd")},
       {"difference", nullable("number", "mean of the hidden seeds minus the score")},
       {"noise", nullable("number", "what chance may make of that difference")},
       {"runs", list_of(std::move(run), "one a seed")},
       {"notes", list_of(typed("string", "a sentence"),
                         "where scores may differ for another reason than the seed")}});
}

}  // namespace bitloop::api::schemas
