// One session, or one test of it, as a page for people or a document for programs. Collects the
// document; show_page.cpp words it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/noise.h"
#include "harness/cli/reference.h"
#include "harness/cli/show_page.h"
#include "harness/cli/terminal.h"
#include "harness/jobs/run_folder.h"
#include "harness/sessions/decision.h"
#include "harness/sessions/job.h"
#include "harness/sessions/records.h"

namespace bitloop::cli {
namespace {

using Json = nlohmann::ordered_json;

struct ShowOptions {
  std::string reference;
  std::string workspace;
  bool json = false;
};

// What was measured for a task; empty where there is none.
tasks::BaselineTable table_of(const std::string& task) {
  return tasks::load_baselines(share_dir(), task).value_or(tasks::BaselineTable{});
}

// As of the session's newest commit, also where its token has other sessions.
int64_t tests_left(const sessions::SessionState& state) {
  const auto tasks = tasks::load_tasks(share_dir());
  if (!tasks) return state.tests_left();
  const auto task = std::ranges::find(*tasks, state.task, &tasks::Task::name);
  return task == tasks->end() ? state.tests_left()
                              : state.tests_left(task->tests, state.tests_elsewhere);
}

// The best that the session's decisions kept; null before the first score, and for the command
// line's runs, which may have other tasks and presets and are compared with nothing.
Json best_of(const sessions::SessionState& state) {
  if (sessions::is_of_command_line(state.type)) return nullptr;
  const auto best = sessions::best_of(state.tests, table_of(state.task));
  return best ? Json(best->test) : Json();
}

Json decision_of(const sessions::SessionState& state, const sessions::TestRecord& test) {
  if (test.running() || sessions::is_of_command_line(state.type)) return nullptr;
  return sessions::to_json(sessions::decide(state.tests, test.number, table_of(state.task)));
}

Json session_document(const sessions::StoredSession& stored) {
  const sessions::SessionState& state = stored.state;
  const bool budget = !sessions::is_of_command_line(state.type);
  Json tags = Json::array();
  for (const sessions::Tag& tag : state.tags)
    tags.push_back({{"tag", tag.tag}, {"test", tag.test ? Json(*tag.test) : Json()}});
  Json tests = Json::array();
  for (const sessions::TestRecord& test : state.tests)
    tests.push_back(
        {{"test", test.number},
         {"status", test.status},
         {"val_loss", test.row.val_loss ? Json(*test.row.val_loss) : Json()},
         {"bits_per_weight", test.row.bits_per_weight ? Json(*test.row.bits_per_weight) : Json()},
         {"commit", test.commit},
         {"description", test.description}});
  return {{"session", state.id},
          {"type", state.type},
          {"agent", state.agent},
          {"task", state.task},
          {"quantizer", state.quantizer},
          {"forked_from", state.forked_from},
          {"state", sessions::word_for(state)},
          {"created", state.created},
          {"tests_total", budget ? Json(state.tests_total) : Json()},
          {"tests_left", budget ? Json(tests_left(state)) : Json()},
          {"submitted", state.submitted ? Json(*state.submitted) : Json()},
          {"best", best_of(state)},
          {"tags", std::move(tags)},
          {"commit", stored.head},
          {"tests", std::move(tests)}};
}

// What the candidate began as: the session's first commit; of a run of the command line the shipped
// quantizer of its name, where there is one.
Result<NamedText> start_of(const journal::Journal& journal, const sessions::StoredSession& stored,
                           const std::string& quantizer) {
  if (!sessions::is_of_command_line(stored.state.type)) {
    BITLOOP_ASSIGN(history, journal.history(stored.state.id));
    BITLOOP_ASSIGN(snapshot, journal.read(history.front().id));
    return NamedText{fmt::format("{} (start)", stored.state.id), std::move(snapshot.candidate)};
  }
  const auto file = share_dir() / "quantizers" / (quantizer + ".lua");
  BITLOOP_ASSIGN(text, read_file(file));
  return NamedText{fmt::format("{}.lua (shipped)", quantizer), std::move(text)};
}

std::string noise_of(const sessions::TestRecord& test, const std::string& task) {
  if (test.status != "ok" || !test.row.val_loss) return "";
  return noise_line(table_of(task), *test.row.val_loss);
}

Result<Json> test_document(const journal::Journal& journal, const std::filesystem::path& workspace,
                           const sessions::StoredSession& stored, int64_t number) {
  const sessions::SessionState& state = stored.state;
  BITLOOP_ASSIGN(test, state.find_test(number));
  const std::string& task = test->task.empty() ? state.task : test->task;
  const std::string& quantizer = test->quantizer.empty() ? state.quantizer : test->quantizer;
  const auto folder = sessions::run_dir(workspace, state.id, number);
  const bool ended = !test->running();
  Json tags = Json::array();
  for (const sessions::Tag& tag : state.tags)
    if (tag.test == number) tags.push_back(tag.tag);
  Json document = {
      {"session", state.id},
      {"test", number},
      {"type", state.type},
      {"agent", state.agent},
      {"task", task},
      {"quantizer", quantizer},
      {"description", test->description.empty() ? test->row.description : test->description},
      {"status", test->status},
      {"message", test->stages},
      {"submitted", state.submitted == number},
      {"tags", std::move(tags)},
      {"commit", test->commit},
      {"seed", test->seed},
      {"time", ended ? Json(test->row.time) : Json()},
      {"version", ended ? Json(test->row.version) : Json()},
      {"flags", test->row.flags},
      {"metrics", ended ? Json(ledger::metrics_json(test->row)) : Json()},
      {"decision", decision_of(state, *test)},
      {"noise", noise_of(*test, task)},
      {"findings", Json::array()},
      {"jail", nullptr}};
  if (jobs::run_has_verdict(folder)) {
    const jobs::Verdict verdict = jobs::read_verdict(folder);
    if (verdict.result.is_object())
      document["findings"] = verdict.result.value("findings", nlohmann::json::array());
    document["jail"] = verdict.jail;
  }
  document["folder"] = folder.string();
  Json files = Json::array();
  std::error_code ignored;
  for (const char* name : {"job.json", "log.tsv", "events.jsonl", "verdict.json", "output.txt",
                           "supervisor.log", "documents.jsonl", "output"})
    if (std::filesystem::exists(folder / name, ignored)) files.push_back(name);
  document["files"] = std::move(files);
  document["diff"] = nullptr;
  if (const auto start = start_of(journal, stored, quantizer); start && !test->commit.empty()) {
    BITLOOP_ASSIGN(trained, journal.read(test->commit));
    BITLOOP_ASSIGN(diff, named_diff(*start, {fmt::format("{}/{}", state.id, number),
                                             std::move(trained.candidate)}));
    document["diff"] = diff;
  }
  return document;
}

Result<int> show(const ShowOptions& options) {
  std::error_code ignored;
  const auto workspace = std::filesystem::absolute(choose_workspace(options.workspace), ignored);
  BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(workspace));
  BITLOOP_ASSIGN(reference, find_reference(*journal, options.reference));
  BITLOOP_ASSIGN(stored, sessions::read_session(*journal, reference.session));
  Json document;
  std::string log;
  if (reference.test == 0) {
    document = session_document(stored);
  } else {
    BITLOOP_ASSIGN(test, test_document(*journal, workspace, stored, reference.test));
    document = std::move(test);
    log = read_file(sessions::run_dir(workspace, reference.session, reference.test) / "log.tsv")
              .value_or("");
  }
  if (options.json)
    fmt::print("{}\n", document.dump(1, ' ', false, Json::error_handler_t::replace));
  else if (reference.test == 0)
    fmt::print("{}", session_page(document));
  else
    fmt::print("{}", test_page(document, log, has_color(stdout)));
  return kDone;
}

}  // namespace

void add_show(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command = app.add_subcommand(
      "show",
      "One test: idea, scores, decision, findings, curve, files, what was changed; or one session");
  command->add_option("TEST", options->reference, "SESSION/TEST (local/3), or SESSION")->required();
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  command->add_flag("--json", options->json, "one JSON document");
  command->callback([options, &exit_code] { exit_code = finish(show(*options)); });
}

}  // namespace bitloop::cli
