#include "harness/api/documented.h"

#include <algorithm>

#include "harness/api/schemas.h"
#include "harness/ledger/row.h"

namespace bitloop::api {
namespace {

using nlohmann::ordered_json;

constexpr const char* kSession = "brave-otter-1f3a";
constexpr const char* kCommit = "5e96b16f0c1d3a7b9e2f4a6c8d0b1e3f5a7c9d2e";

ordered_json json(const char* text) { return ordered_json::parse(text); }

ordered_json test_example() {
  return {{"test", 1},
          {"status", "ok"},
          {"message",
           "[Test #1] (tests remaining: 2)\n### train (quick)\nTRAIN_METRICS: "
           "{\"val_loss\": 2.3178}\n[Decision] first. Keep: it is the first score, which the next "
           "tests are compared with."},
          {"metrics", {{"val_loss", 2.3178}, {"bits_per_weight", 1.585}}},
          {"decision", json(R"({"verdict": "first", "against": null, "difference": null,
            "noise": 0.0203, "same_as": null, "baselines": [],
            "advice": "Keep: it is the first score, which the next tests are compared with."})")},
          {"commit", kCommit},
          {"seed", 42},
          {"tests_left", 2}};
}

ordered_json running_example() {
  ordered_json test = test_example();
  test["status"] = "running";
  test["message"] = "[Test #1] running";
  test["metrics"] = nullptr;
  test["decision"] = nullptr;
  return test;
}

ordered_json listed_example() {
  return {{"id", kSession},
          {"task", "quick"},
          {"quantizer", "ternary"},
          {"agent", "ada"},
          {"state", "open"},
          {"created", "2026-01-31T12:34:56.789Z"},
          {"commit", kCommit},
          {"tests_total", 3},
          {"tests_left", 2},
          {"submitted", nullptr},
          {"best", 1},
          {"forked_from", ""},
          {"tags", json(R"([{"tag": "median", "test": 1}])")},
          {"tests", ordered_json::array({test_example()})}};
}

ordered_json new_session_example() {
  ordered_json session = listed_example();
  session["tests_left"] = 3;
  session["best"] = nullptr;
  session["tags"] = ordered_json::array();
  session["tests"] = ordered_json::array();
  session["files"] = json(R"([{"path": "candidate.lua", "lines": 41, "editable": [[14, 26]]},
                              {"path": "program.md", "lines": 120, "editable": []}])");
  return session;
}

ordered_json session_example() {
  ordered_json session = listed_example();
  session["files"] = new_session_example()["files"];
  session["history"] = ordered_json::array({{{"commit", kCommit},
                                             {"time", 1769862896},
                                             {"event", "session"},
                                             {"message", "Began a session on quick from ternary"},
                                             {"test", nullptr}}});
  return session;
}

ordered_json edit_example() {
  return {{"message",
           "OK: Replaced lines 14..14 with 1 line(s) in candidate.lua. Editable range: 14-26."},
          {"commit", kCommit},
          {"editable", json("[[14, 26]]")},
          {"view", "   14 | local scale = w:abs():median()\n"},
          {"warnings", ordered_json::array()}};
}

ordered_json row_example() {
  ledger::Row row;
  row.time = "2026-01-31T12:34:56.789Z";
  row.session = kSession;
  row.test = 1;
  row.commit = kCommit;
  row.type = "agent";
  row.agent = "ada";
  row.task = "quick";
  row.quantizer = "ternary";
  row.status = "ok";
  row.val_loss = 2.3178;
  row.bits_per_weight = 1.585;
  row.seed = 42;
  row.version = "0.1.0+5e96b16f0c1d";
  row.description = "median scale";
  return ledger::to_json(row);
}

ordered_json task_example() {
  return json(R"({"name": "quick", "preset": "quick", "description": "A few hundred steps.",
    "rules": {"quantize_head": false, "paper_compat": false, "seed": 42}, "budget": {"tests": 3},
    "allowed_config": {"learning_rate": [1e-05, 0.1]}, "benchmarks": [],
    "baselines": [{"name": "ternary", "bits_per_weight": 1.585288, "val_loss": 2.439507,
                   "val_loss_sd": 0.003952, "seeds": 3, "source": "measured"}],
    "noise_floor": 0.0103, "early_stop": null, "init_from": null})");
}

ordered_json summary_example() {
  return {{"session", kSession},
          {"task", "quick"},
          {"goal", "The lowest val_loss at the fewest bits_per_weight."},
          {"agent", "ada"},
          {"state", "open"},
          {"forked_from", ""},
          {"tests_total", 3},
          {"tests_left", 2},
          {"noise", 0.0203},
          {"best", json(R"({"test": 1, "description": "median scale", "status": "ok",
            "val_loss": 2.3178, "bits_per_weight": 1.585, "verdict": "first", "tags": []})")},
          {"candidate", {{"commit", kCommit}, {"same_as", 1}, {"against_best", nullptr}}},
          {"next",
           "Change one thing (POST …/edits): the candidate is that of test #1, the best so "
           "far."},
          {"tags", ordered_json::array()},
          {"ideas", json(R"json([{"test": 1, "description": "median scale", "status": "ok",
            "val_loss": 2.3178, "bits_per_weight": 1.585, "verdict": "first", "tags": [],
            "diff": {"added": 1, "removed": 1, "lines": ["-local scale = w:abs():mean()",
                     "+local scale = w:abs():median()"]}}])json")},
          {"ideas_left_out", 0}};
}

ordered_json verification_example() {
  ordered_json document = json(R"({"session": "", "test": 1, "commit": "", "standing": "holds",
    "submitted": {"seed": 42, "val_loss": 2.3178},
    "hidden": {"runs": 1, "failed": 0, "val_loss": 2.3201, "val_loss_sd": null},
    "difference": 0.0023, "noise": 0.0203,
    "runs": [{"seed": 1127461034, "test": "verify/1", "status": "ok", "val_loss": 2.3201}],
    "notes": []})");
  document["session"] = kSession;
  document["commit"] = kCommit;
  return document;
}

std::vector<Documented> make_table() {
  const std::string session = "/v1/sessions/{id}";
  const ordered_json tagged = {{"commit", kCommit}, {"tags", listed_example()["tags"]}};
  return {
      {"GET /healthz", "Health", json(R"({"status": "ok", "version": "0.1.0", "device": "cpu",
                "sandbox": [{"layer": "seccomp", "state": "active"}]})"),
       nullptr},
      {"GET /v1/tasks", "Tasks", {{"tasks", ordered_json::array({task_example()})}}, nullptr},
      {"GET /v1/tasks/{task}", "Task", task_example(), nullptr},
      {"GET /v1/results", "Results", {{"results", ordered_json::array({row_example()})}}, nullptr},
      {"GET /v1/results.tsv", "", "time\tsession\ttest\t…\n", nullptr},
      {"POST /v1/sessions",
       "NewSession",
       new_session_example(),
       {{"task", "quick"}, {"quantizer", "ternary"}, {"agent", "ada"}}},
      {"GET /v1/sessions",
       "Sessions",
       {{"sessions", ordered_json::array({listed_example()})}},
       nullptr},
      {"GET " + session, "Session", session_example(), nullptr},
      {"GET " + session + "/summary", "Summary", summary_example(), nullptr},
      {"GET " + session + "/files/{path...}",
       "File",
       {{"path", "candidate.lua"},
        {"editable", json("[[14, 26]]")},
        {"view", "   14 | local scale = w:abs():mean()\n"},
        {"commit", kCommit},
        {"content", "local scale = w:abs():mean()\n"}},
       nullptr},
      {"GET " + session + "/diff",
       "Diff",
       {{"from", kCommit},
        {"to", kCommit},
        {"path", "candidate.lua"},
        {"diff",
         "@@ -14 +14 @@\n-local scale = w:abs():mean()\n+local scale = w:abs():median()\n"}},
       nullptr},
      {"POST " + session + "/edits",
       "Edit",
       edit_example(),
       {{"op", "replace"},
        {"path", "candidate.lua"},
        {"start_line", 14},
        {"end_line", 14},
        {"content", "local scale = w:abs():median()"},
        {"description", "a median is not pulled by outliers"}}},
      {"POST " + session + "/undo", "Edit", edit_example(), {{"n", 1}}},
      {"POST " + session + "/revert", "Edit", edit_example(), {{"test", 1}}},
      {"POST " + session + "/checks",
       "Check",
       {{"ok", true},
        {"findings", json(R"([{"rule": "determinism", "ok": true, "detail": ""}])")},
        {"bits_per_weight", 1.585},
        {"ms", 180},
        {"warnings", ordered_json::array()}},
       nullptr},
      {"POST " + session + "/tests", "Test", running_example(), {{"description", "median scale"}}},
      {"GET " + session + "/tests/{n}", "Test", test_example(), nullptr},
      {"DELETE " + session + "/tests/{n}", "Test", test_example(), nullptr},
      {"GET " + session + "/tests/{n}/log.tsv", "", "step\ttrain_loss\tval_loss\n10\t4.0312\t\n",
       nullptr},
      {"GET " + session + "/tests/{n}/events.jsonl", "",
       "{\"type\":\"step\",\"step\":10,\"train_loss\":4.0312}\n", nullptr},
      {"POST " + session + "/submission", "Test", test_example(), {{"test", 1}}},
      {"POST " + session + "/tags", "Tags", tagged, {{"tag", "median"}, {"test", 1}}},
      {"DELETE " + session + "/tags/{tag}", "Tags", tagged, nullptr},
      {"GET " + session + "/verification", "Verification", verification_example(), nullptr},
      {"POST " + session + "/verification", "Verification", verification_example(), {{"seeds", 3}}},
      {"DELETE " + session + "/verification", "Verification", verification_example(), nullptr},
  };
}

ordered_json make_schemas() {
  const auto list = [](const char* name, ordered_json item, const char* what) {
    return schemas::object_of({{name, schemas::list_of(std::move(item), what)}});
  };
  return {{"Health", schemas::health()},
          {"Task", schemas::task()},
          {"Tasks", list("tasks", schemas::task(), "by name")},
          {"Results", list("results", schemas::row(), "finished tests, oldest first")},
          {"NewSession", schemas::new_session()},
          {"Session", schemas::session()},
          {"Sessions", list("sessions", schemas::listed_session(), "oldest first")},
          {"Summary", schemas::summary()},
          {"File", schemas::file_view()},
          {"Diff", schemas::diff()},
          {"Edit", schemas::edit()},
          {"Check", schemas::check()},
          {"Test", schemas::test()},
          {"Tags", schemas::tags()},
          {"Verification", schemas::verification()}};
}

}  // namespace

const Documented* documented(const Route& route) {
  static const std::vector<Documented> kTable = make_table();
  const std::string call = route.method + " " + route.pattern;
  const auto found = std::ranges::find(kTable, call, &Documented::call);
  return found == kTable.end() ? nullptr : &*found;
}

const ordered_json& documented_schemas() {
  static const ordered_json kSchemas = make_schemas();
  return kSchemas;
}

}  // namespace bitloop::api
