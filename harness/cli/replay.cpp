// `bitloop replay`: a session's scores once more, from the journal, and whether they are the same
// bits.
#include <fmt/format.h>

#include <atomic>
#include <bit>
#include <csignal>
#include <memory>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/temporary_folder.h"
#include "harness/base/text.h"
#include "harness/base/version.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/reference.h"
#include "harness/jobs/run_now.h"
#include "harness/sessions/job.h"
#include "harness/sessions/records.h"
#include "harness/sessions/report.h"
#include "harness/tasks/preset.h"

namespace bitloop::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPrefix = "bitloop-replay-";
constexpr int64_t kGraceMs = 60'000;  // beside the run's own deadline
// Measured, not computed: another number in every run.
constexpr std::string_view kMeasured[] = {"train_s", "tokens_per_s", "peak_memory_mb"};

struct ReplayOptions {
  std::string session;
  int64_t test = 0;  // 0: all
  std::string workspace, benchmarks;
  bool json = false;
  bool allow_degraded = false;
};

std::atomic<bool> interrupted{false};
volatile std::sig_atomic_t received = 0;

void on_signal(int signal) {
  received = signal;
  interrupted = true;
}

// The run's own job, else one of the task as it is now; candidate and seed are the journal's.
Result<nlohmann::json> job_of(const ReplayOptions& options, const std::filesystem::path& run,
                              const sessions::SessionState& state, const sessions::TestRecord& test,
                              const std::string& candidate, std::vector<std::string>& notes) {
  nlohmann::json job = nlohmann::json::parse(read_file(run / "job.json").value_or(""), nullptr,
                                             /*allow_exceptions=*/false);
  if (job.is_object() && job.contains("preset") && job["preset"].is_object() &&
      job.contains("rules")) {
    job["candidate"] = {{"path", "candidate.lua"}, {"content", candidate}};
    job["seed"] = test.seed;
    job["data_dir"] = (share_dir() / "data").string();
    job["allow_degraded"] = options.allow_degraded;
    return job;
  }
  if (sessions::is_of_command_line(state.type))
    return fail("file_not_found",
                fmt::format("{} is gone, which alone says how this run was set", run.string()));
  notes.emplace_back("its job.json is gone: preset and rules are those of the task as it is now");
  BITLOOP_ASSIGN(tasks, tasks::load_tasks(share_dir()));
  const auto task = std::ranges::find(tasks, state.task, &tasks::Task::name);
  if (task == tasks.end())
    return fail("unknown_preset", fmt::format("there is no task {} any more", state.task));
  Target target;
  target.task = *task;
  BITLOOP_ASSIGN(preset, tasks::load_preset(share_dir(), task->preset));
  target.preset = std::move(preset);
  BITLOOP_TRY(find_initial_model("", choose_workspace(options.workspace), target));
  return sessions::make_job({"train", state.id, test.number, candidate, target.task, target.preset,
                             test.seed, share_dir(), options.allow_degraded,
                             choose_benchmarks(options.benchmarks)});
}

bool same_bits(const nlohmann::json& a, const nlohmann::json& b) {
  if (!a.is_number() || !b.is_number()) return a.is_null() && b.is_null();
  return std::bit_cast<uint64_t>(a.get<double>()) == std::bit_cast<uint64_t>(b.get<double>());
}

Json differences(const ledger::Row& was, const ledger::Row& is) {
  const nlohmann::json before = ledger::metrics_json(was), after = ledger::metrics_json(is);
  Json list = Json::array();
  for (const auto& [name, value] : before.items())
    if (std::ranges::find(kMeasured, name) == std::end(kMeasured) &&
        !same_bits(value, after.at(name)))
      list.push_back({{"metric", name}, {"was", value}, {"is", after.at(name)}});
  return list;
}

// What makes other bits no surprise.
void note_conditions(const ledger::Row& was, const ledger::Row& is,
                     std::vector<std::string>& notes) {
  const std::string version = fmt::format("{}+{}", bitloop::version(), git_hash());
  if (was.version != version)
    notes.push_back(fmt::format("bits may differ: it was scored by version {}, this is {}",
                                single_line(was.version), version));
  if (was.device != is.device)
    notes.push_back(fmt::format("bits may differ: it ran on '{}', this is '{}'",
                                single_line(was.device), single_line(is.device)));
}

// The document of one test. Error: "infrastructure" (no statement about the bits).
Result<Json> replay_test(const ReplayOptions& options, const journal::Journal& journal,
                         const std::filesystem::path& workspace,
                         const std::filesystem::path& scratch, const sessions::SessionState& state,
                         const sessions::TestRecord& test) {
  BITLOOP_ASSIGN(snapshot, journal.read(test.commit));
  std::vector<std::string> notes;
  BITLOOP_ASSIGN(job, job_of(options, sessions::run_dir(workspace, state.id, test.number), state,
                             test, snapshot.candidate, notes));
  const int64_t deadline_s = job["preset"]["limits"].value("deadline_s", int64_t{86'400});
  const auto timeout = static_cast<int>(std::min<int64_t>(deadline_s * 1000 + kGraceMs, INT32_MAX));
  const jobs::Verdict verdict =
      jobs::run_now(scratch / std::to_string(test.number), job, timeout, &interrupted);
  if (interrupted) return fail("interrupted", "The replay was interrupted.");
  if (verdict.status == sessions::kInfrastructure) return fail("infrastructure", verdict.message);
  ledger::Row row;
  sessions::fill_row(row, verdict);
  note_conditions(test.row, row, notes);
  Json different = differences(test.row, row);
  const bool same = verdict.status == "ok" && different.empty();
  return Json{{"test", test.number},
              {"same", same},
              {"status", verdict.status},
              {"message", verdict.message},
              {"val_loss", test.row.val_loss ? Json(*test.row.val_loss) : Json()},
              {"differences", std::move(different)},
              {"notes", notes}};
}

void print_test(const Json& test) {
  const auto number = test["test"].get<int64_t>();
  if (test["same"] == true)
    fmt::print("test {}: the same bits (val_loss {})\n", number, test["val_loss"].dump());
  else if (test["status"] != "ok")
    fmt::print("test {}: DIFFERENT: it ended {}: {}\n", number, test["status"].get<std::string>(),
               single_line(test["message"].get<std::string>()));
  else
    fmt::print("test {}: DIFFERENT\n", number);
  for (const Json& difference : test["differences"])
    fmt::print("  {}: {} was {}\n", difference["metric"].get<std::string>(),
               difference["is"].dump(), difference["was"].dump());
  for (const Json& note : test["notes"]) fmt::print("  {}\n", note.get<std::string>());
  std::fflush(stdout);
}

Result<int> perform(const ReplayOptions& options) {
  std::error_code no_folder;
  const auto workspace = std::filesystem::absolute(choose_workspace(options.workspace), no_folder);
  BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(workspace));
  BITLOOP_ASSIGN(reference, find_reference(*journal, options.session));
  const int64_t wanted = options.test > 0 ? options.test : reference.test;
  BITLOOP_ASSIGN(stored, sessions::read_session(*journal, reference.session));
  std::vector<const sessions::TestRecord*> tests;
  for (const sessions::TestRecord& test : stored.state.tests)
    if (test.status == "ok" && (wanted == 0 || test.number == wanted)) tests.push_back(&test);
  if (tests.empty())
    return fail("test_not_found",
                fmt::format("session {} has no {} that ended ok", stored.state.id,
                            wanted > 0 ? fmt::format("test #{}", wanted) : "test"));
  BITLOOP_TRY(probe_sandbox(options.allow_degraded));
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, on_signal);
  const auto parent = std::filesystem::temp_directory_path(no_folder);
  if (no_folder) return fail("io_error", "no temporary folder: set TMPDIR to one");
  // Those of replays that were killed; the runs in them end by themselves.
  TemporaryFolder::remove_abandoned(parent, kPrefix, [](const std::filesystem::path& folder) {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error))
      if (jobs::run_is_alive(entry->path())) return true;
    return false;
  });
  BITLOOP_ASSIGN(scratch, TemporaryFolder::make(parent, kPrefix));
  Json list = Json::array();
  bool same = true;
  for (const sessions::TestRecord* test : tests) {
    BITLOOP_ASSIGN(document,
                   replay_test(options, *journal, workspace, scratch.path(), stored.state, *test));
    same = same && document["same"] == true;
    if (!options.json) print_test(document);
    list.push_back(std::move(document));
  }
  if (options.json)
    fmt::print("{}\n",
               Json{{"session", stored.state.id}, {"same", same}, {"tests", std::move(list)}}.dump(
                   1, ' ', false, Json::error_handler_t::replace));
  return same ? 0 : 1;
}

// Ends by the signal that interrupted it, once everything is tidied up.
int replay(const ReplayOptions& options) {
  const int code = finish(perform(options));
  if (received == 0) return code;
  std::signal(received, SIG_DFL);
  std::raise(received);
  return code;
}

}  // namespace

void add_replay(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ReplayOptions>();
  CLI::App* command = app.add_subcommand(
      "replay", "Train a session's tests again from the journal: are the scores the same bits?");
  command->footer(
      "Every test that ended ok runs again in a scratch folder; nothing is written to the "
      "workspace. Times and memory are not compared. Exit codes: 0 the same, 1 different.");
  command->add_option("SESSION", options->session, "a session, or SESSION/TEST")->required();
  command->add_option("--test", options->test, "this test alone")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  add_benchmarks(*command, options->benchmarks);
  command->add_flag("--json", options->json, "one JSON document: {session, same, tests}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = replay(*options); });
}

}  // namespace bitloop::cli
