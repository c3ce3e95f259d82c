#include "harness/baselines/submission.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/base/version.h"
#include "harness/sessions/hidden_seeds.h"
#include "harness/sessions/job.h"
#include "harness/sessions/records.h"
#include "harness/sessions/service.h"
#include "harness/tasks/preset.h"

namespace bitloop::baselines {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxJobBytes = size_t{16} << 20;

// The job of a run; null where its folder is gone.
nlohmann::json job_of_run(const std::filesystem::path& folder) {
  const auto text = read_file(folder / "job.json", kMaxJobBytes);
  const auto job = nlohmann::json::parse(text.value_or(""), nullptr, /*allow_exceptions=*/false);
  return job.is_object() && job.contains("preset") ? job : nlohmann::json();
}

// The runs of this plan alone: an earlier verification may have had more.
Verification verification_of(const Plan& plan) {
  Verification verification;
  std::vector<double> losses;
  for (const PlannedRun& run : plan.runs) {
    if (!run.done) continue;
    ++verification.runs;
    if (run.done->row.val_loss) losses.push_back(*run.done->row.val_loss);
  }
  verification.val_loss = spread_of(losses);
  return verification;
}

// Where scores may differ for another reason than the seed.
Json notes_of(const Submission& submission, const Plan& plan) {
  const auto differing = [&](std::string ledger::Row::*field) {
    std::set<std::string> others;
    for (const PlannedRun& run : plan.runs)
      if (run.done && run.done->row.*field != submission.test.row.*field)
        others.insert(run.done->row.*field);
    return join({others.begin(), others.end()}, ", ");
  };
  Json notes = Json::array();
  if (const std::string other = differing(&ledger::Row::version); !other.empty())
    notes.push_back(fmt::format("The score was made by version {}, runs under hidden seeds by {}.",
                                submission.test.row.version, other));
  if (const std::string other = differing(&ledger::Row::device); !other.empty())
    notes.push_back(fmt::format("The score was made on {}, runs under hidden seeds on {}.",
                                submission.test.row.device, other));
  return notes;
}

}  // namespace

Result<Submission> find_submission(const journal::Journal& journal,
                                   const std::filesystem::path& workspace,
                                   const std::filesystem::path& share_dir, std::string_view session,
                                   std::optional<int64_t> number) {
  auto stored = sessions::read_session(journal, session);
  if (!stored &&
      (stored.error().code == "unknown_session" || stored.error().code == "bad_session_id"))
    return std::unexpected(sessions::session_not_found(session));
  if (!stored) return std::unexpected(stored.error());
  const sessions::SessionState& state = stored->state;
  if (sessions::is_of_command_line(state.type))
    return fail("session_read_only",
                fmt::format("{} holds runs of the command line, whose seeds a person chose: give a "
                            "session of an agent, or use bitloop compare with --seeds.",
                            state.id));
  if (!number && !state.submitted)
    return fail("not_submitted",
                fmt::format("Session {} has submitted nothing yet: verify it afterwards, or name a "
                            "test of it.",
                            state.id));
  BITLOOP_ASSIGN(test, state.find_test(number.value_or(state.submitted.value_or(0))));
  if (test->status != "ok")
    return fail("test_failed", fmt::format("Test #{} of {} is {}: only a test that ended ok has a "
                                           "score to verify.",
                                           test->number, state.id, test->status));
  BITLOOP_ASSIGN(tasks, tasks::load_tasks(share_dir));
  const auto task = std::ranges::find(tasks, state.task, &tasks::Task::name);
  if (task == tasks.end())
    return fail("unknown_preset", fmt::format("There is no task {} any more.", state.task));
  BITLOOP_ASSIGN(snapshot, journal.read(test->commit));
  const auto job = job_of_run(sessions::run_dir(workspace, state.id, test->number));
  Submission submission{state.id,        *test, std::move(snapshot.candidate),
                        state.quantizer, *task, job.is_null() ? job : job["preset"]};
  // The very files that the test began with; without them the task's, as they are now.
  if (!job.is_null()) submission.task.initial_model = job.value("init_from", nlohmann::json());
  if (submission.preset.is_null()) {
    BITLOOP_ASSIGN(preset, tasks::load_preset(share_dir, task->preset));
    submission.preset = std::move(preset);
  }
  return submission;
}

Result<Plan> plan_verification(const Submission& submission, const std::filesystem::path& workspace,
                               int seeds) {
  BITLOOP_ASSIGN(secret, sessions::verification_secret(workspace));
  const sessions::TestRecord& test = submission.test;
  Plan plan = make_plan(submission.task, submission.preset,
                        {{submission.quantizer, submission.candidate,
                          verification_mark(submission.session, test.number)}},
                        sessions::hidden_seeds(secret, test.commit, test.seed, seeds));
  BITLOOP_ASSIGN(records, sessions::read_records(workspace, sessions::kVerifyType));
  const std::string now = fmt::format("{}+{}", version(), git_hash());
  take_records(plan, sessions::kVerifyType, records, now);
  // Also what ended for want of time or memory, or broke a rule, is an answer here; a program of
  // another version may do better.
  for (PlannedRun& run : plan.runs)
    for (const sessions::TestRecord& record : records)
      if (run.test == 0 && record.fingerprint == run.fingerprint && !record.running() &&
          record.status != sessions::kInfrastructure && record.status != sessions::kCancelled &&
          record.row.version == now) {
        run.session = sessions::kVerifyType;
        run.test = record.number;
        run.done = record;
      }
  for (PlannedRun& run : plan.runs)
    for (const sessions::TestRecord& record : records)
      if (run.test == 0 && record.fingerprint == run.fingerprint) run.lost = record.status;
  return plan;
}

VerificationReport report_on(const Submission& submission, const Plan& plan) {
  VerificationReport report;
  report.verification = verification_of(plan);
  std::optional<PooledSpread> floor;
  if (const auto& known = plan.task.measured.noise_floor)
    floor = PooledSpread{known->sd, known->degrees_of_freedom};
  if (plan.left() == 0)
    report.judgement = judge(report.verification, submission.test.row.val_loss, floor);

  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  Json runs = Json::array();
  for (const PlannedRun& run : plan.runs)
    runs.push_back(
        {{"seed", run.seed},
         {"test", run.test > 0 ? Json(fmt::format("{}/{}", run.session, run.test)) : Json()},
         {"status", run.done            ? Json(run.done->status)
                    : run.test > 0      ? Json(sessions::kRunning)
                    : !run.lost.empty() ? Json(run.lost)
                                        : Json()},
         {"val_loss", run.done ? number(run.done->row.val_loss) : Json()}});
  const sessions::TestRecord& test = submission.test;
  report.document = {{"session", submission.session},
                     {"test", test.number},
                     {"commit", test.commit},
                     {"standing", name_of(report.judgement.standing)},
                     {"submitted", {{"seed", test.seed}, {"val_loss", number(test.row.val_loss)}}},
                     {"hidden", to_json(report.verification)},
                     {"difference", number(report.judgement.difference)},
                     {"noise", number(report.judgement.noise)},
                     {"runs", std::move(runs)},
                     {"notes", notes_of(submission, plan)}};
  return report;
}

}  // namespace bitloop::baselines
