// `bitloop verify`: a submission once more, under seeds that its agent could not know.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "harness/base/paths.h"
#include "harness/baselines/verification.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/plan_runs.h"
#include "harness/cli/reference.h"
#include "harness/sessions/hidden_seeds.h"
#include "harness/sessions/records.h"
#include "harness/tasks/preset.h"

namespace bitloop::cli {
namespace {

using Json = nlohmann::ordered_json;

struct VerifyOptions {
  std::string reference;
  int seeds = 3;
  size_t jobs = 1;
  std::string workspace, benchmarks;
  bool json = false;
  bool allow_degraded = false;
};

// The test that is verified.
struct Subject {
  std::string session;
  sessions::TestRecord test;
  std::string candidate;
  std::string quantizer;
  std::string task;
};

Result<Subject> find_subject(const VerifyOptions& options, const std::filesystem::path& workspace) {
  BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(workspace));
  BITLOOP_ASSIGN(reference, find_reference(*journal, options.reference));
  BITLOOP_ASSIGN(stored, sessions::read_session(*journal, reference.session));
  const sessions::SessionState& state = stored.state;
  if (sessions::is_of_command_line(state.type))
    return fail("wrong_usage",
                fmt::format("{} holds runs of the command line, whose seeds a person chose: give a "
                            "session of an agent, or use bitloop compare with --seeds",
                            state.id));
  if (reference.test == 0 && !state.submitted)
    return fail("not_submitted",
                fmt::format("session {} has submitted nothing yet: verify it afterwards, or name a "
                            "test ({}/1)",
                            state.id, state.id));
  BITLOOP_ASSIGN(test, state.find_test(reference.test > 0 ? reference.test : *state.submitted));
  if (test->status != "ok")
    return fail("test_failed", fmt::format("test #{} of {} ended as {}: only a test that ended ok "
                                           "has a score to verify",
                                           test->number, state.id, test->status));
  BITLOOP_ASSIGN(snapshot, journal->read(test->commit));
  return Subject{state.id, *test, std::move(snapshot.candidate), state.quantizer, state.task};
}

Result<baselines::Plan> plan_of(const Subject& subject, const VerifyOptions& options,
                                const std::filesystem::path& workspace) {
  BITLOOP_ASSIGN(tasks, tasks::load_tasks(share_dir()));
  const auto task = std::ranges::find(tasks, subject.task, &tasks::Task::name);
  if (task == tasks.end())
    return fail("unknown_preset", fmt::format("there is no task {} any more", subject.task));
  BITLOOP_ASSIGN(preset, tasks::load_preset(share_dir(), task->preset));
  BITLOOP_ASSIGN(secret, sessions::verification_secret(workspace));
  return baselines::make_plan(
      *task, preset,
      {{subject.quantizer, subject.candidate,
        baselines::verification_mark(subject.session, subject.test.number)}},
      sessions::hidden_seeds(secret, subject.test.commit, subject.test.seed, options.seeds));
}

// The runs of this plan alone: an earlier verification may have had more.
baselines::Verification verification_of(const baselines::Plan& plan) {
  baselines::Verification verification;
  std::vector<double> losses;
  for (const baselines::PlannedRun& run : plan.runs) {
    if (!run.done) continue;
    ++verification.runs;
    if (run.done->row.val_loss) losses.push_back(*run.done->row.val_loss);
  }
  verification.val_loss = baselines::spread_of(losses);
  return verification;
}

Json document_of(const Subject& subject, const baselines::Plan& plan,
                 const baselines::Verification& verification,
                 const baselines::Judgement& judgement) {
  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  Json runs = Json::array();
  for (const baselines::PlannedRun& run : plan.runs)
    runs.push_back({{"seed", run.seed},
                    {"test", fmt::format("{}/{}", run.session, run.test)},
                    {"status", run.done ? Json(run.done->status) : Json()},
                    {"val_loss", run.done ? number(run.done->row.val_loss) : Json()}});
  return {
      {"session", subject.session},
      {"test", subject.test.number},
      {"commit", subject.test.commit},
      {"standing", baselines::name_of(judgement.standing)},
      {"submitted", {{"seed", subject.test.seed}, {"val_loss", number(subject.test.row.val_loss)}}},
      {"hidden", baselines::to_json(verification)},
      {"difference", number(judgement.difference)},
      {"noise", number(judgement.noise)},
      {"runs", std::move(runs)}};
}

std::string last_line(const baselines::Verification& verification,
                      const baselines::Judgement& judgement) {
  switch (judgement.standing) {
    case baselines::Standing::kFailed:
      return fmt::format("The score does not hold: {} of {} runs under hidden seeds failed.",
                         verification.failed(), verification.runs);
    case baselines::Standing::kUndecided:
      return "Nothing is known of the noise of this task: give more --seeds.";
    case baselines::Standing::kHolds:
    case baselines::Standing::kLucky:
      break;
  }
  const bool holds = judgement.standing == baselines::Standing::kHolds;
  return fmt::format("The score {}: hidden seeds are {:.4f} {} it, {} the noise of ±{:.4f}.",
                     holds ? "holds" : "was luck", std::abs(*judgement.difference),
                     *judgement.difference < 0 ? "below" : "above",
                     std::abs(*judgement.difference) <= *judgement.noise ? "inside" : "beyond",
                     *judgement.noise);
}

void print_for_people(const Json& document, const baselines::Verification& verification,
                      const baselines::Judgement& judgement) {
  const auto loss = [](const Json& value) {
    return value.is_number() ? fmt::format("{:.4f}", value.get<double>()) : std::string("none");
  };
  fmt::print("submitted  seed {:>10}  val_loss {}  ({}/{})\n",
             document["submitted"]["seed"].get<int64_t>(), loss(document["submitted"]["val_loss"]),
             document["session"].get<std::string>(), document["test"].get<int64_t>());
  for (const Json& run : document["runs"])
    fmt::print("hidden     seed {:>10}  val_loss {}  {}\n", run["seed"].get<int64_t>(),
               loss(run["val_loss"]), run["status"].get<std::string>());
  fmt::print("verified   {}\n{}\n", baselines::short_text(verification),
             last_line(verification, judgement));
}

Result<int> perform(const VerifyOptions& options) {
  const std::filesystem::path workspace = choose_workspace(options.workspace);
  BITLOOP_ASSIGN(subject, find_subject(options, workspace));
  BITLOOP_ASSIGN(plan, plan_of(subject, options, workspace));
  const TrainPlan training{
      sessions::kVerifyType, {sessions::kVerifyType}, workspace,
      options.jobs,          options.allow_degraded,  choose_benchmarks(options.benchmarks)};
  BITLOOP_TRY(take_earlier_runs(plan, training));
  if (plan.left() > 0) BITLOOP_TRY(train_plan(plan, training));
  const baselines::Verification verification = verification_of(plan);
  std::optional<baselines::PooledSpread> floor;
  if (const auto& known = plan.task.measured.noise_floor)
    floor = baselines::PooledSpread{known->sd, known->degrees_of_freedom};
  const baselines::Judgement judgement =
      baselines::judge(verification, subject.test.row.val_loss, floor);
  const Json document = document_of(subject, plan, verification, judgement);
  if (options.json)
    fmt::print("{}\n", document.dump(1, ' ', false, Json::error_handler_t::replace));
  else
    print_for_people(document, verification, judgement);
  const bool fails = judgement.standing == baselines::Standing::kLucky ||
                     judgement.standing == baselines::Standing::kFailed;
  return fails ? kCandidateFailed : kDone;
}

}  // namespace

void add_verify(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand(
      "verify", "Train a submission under seeds that its agent did not know: does the score hold?");
  command->footer(
      "The seeds are made of the submission's commit and a secret of the workspace "
      "(verification.key), so an agent can't prepare for them and a reviewer can't choose them. "
      "The "
      "runs are rows of type verify; results shows their mean beside the score. Stopped, the same "
      "command goes on where it was. A server on the workspace has to be stopped meanwhile. Exit "
      "code 1: the score was luck, or a run failed.");
  command
      ->add_option("SESSION", options->reference,
                   "a session that has submitted, or one of its tests (SESSION/TEST)")
      ->required();
  command->add_option("--seeds", options->seeds, "how many (default 3)")
      ->check(CLI::Range(1, 1000));
  command->add_option("--jobs", options->jobs, "runs at a time (default 1)")
      ->check(CLI::Range(1, 256));
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  add_benchmarks(*command, options->benchmarks);
  command->add_flag("--json", options->json,
                    "one JSON document: {session, test, commit, standing, submitted, hidden, "
                    "difference, noise, runs: [...]}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback(
      [options, &exit_code] { exit_code = end_by_signal(finish(perform(*options))); });
}

}  // namespace bitloop::cli
