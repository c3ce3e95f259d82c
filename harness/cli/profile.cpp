#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <optional>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/temporary_folder.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/profile_report.h"
#include "harness/jobs/run_now.h"
#include "harness/sessions/job.h"
#include "harness/sessions/report.h"
#include "harness/tasks/estimate.h"

namespace bitloop::cli {
namespace {

constexpr std::string_view kPrefix = "bitloop-profile-";
constexpr int64_t kMostSteps = 10'000;
constexpr int kMsAMinute = 60'000;
constexpr size_t kMostRecords = size_t{1} << 30;

struct ProfileOptions {
  std::string file, out;
  std::string preset = "quick";
  int64_t steps = 10;
  Overrides overrides;
  bool json = false;
  bool allow_degraded = false;
};

std::atomic<bool> interrupted{false};

// What training takes a token.
double flops_per_token(const nlohmann::json& preset) {
  return tasks::estimate(preset, {}).flops_per_token;
}

void print_json(const std::string& status, const std::string& message,
                const nlohmann::ordered_json& profile, const std::string& trace) {
  const nlohmann::ordered_json document = {
      {"status", status},
      {"message", message},
      {"profile", profile},
      {"trace", trace.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(trace)}};
  fmt::print("{}\n", document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// The candidate failed, or the machine did.
int report_failure(const ProfileOptions& options, const jobs::Verdict& verdict) {
  if (verdict.status == sessions::kInfrastructure || verdict.status == "cancelled")
    return report(
        {verdict.status == "cancelled" ? "interrupted" : "infrastructure", verdict.message});
  if (options.json) print_json(verdict.status, verdict.message, nullptr, "");
  fmt::print(stderr, "bitloop: the candidate failed: {}: {}\n", verdict.status, verdict.message);
  return kCandidateFailed;
}

Result<int> run(const ProfileOptions& options) {
  BITLOOP_ASSIGN(target, load_target(options.file, options.preset));
  BITLOOP_TRY(apply_overrides(options.overrides, target.preset));
  if (!options.out.empty()) BITLOOP_TRY(check_output(options.out, "--out"));
  BITLOOP_TRY(probe_sandbox(options.allow_degraded));
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    std::signal(signal, [](int) { interrupted = true; });
  std::error_code no_folder;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(no_folder);
  if (no_folder) return fail("io_error", no_folder.message());
  TemporaryFolder::remove_abandoned(parent, kPrefix, jobs::run_is_alive);
  BITLOOP_ASSIGN(folder, TemporaryFolder::make(parent, kPrefix));
  nlohmann::json job = sessions::make_job(
      {"profile", "local", 0, target.candidate, target.task, target.preset,
       sessions::default_seed(target.task, target.preset), share_dir(), options.allow_degraded});
  job["profile_steps"] = options.steps;
  // The jail's own deadline comes first.
  const auto deadline_s = target.preset.at("limits").at("deadline_s").get<int64_t>();
  const int timeout_ms =
      static_cast<int>(std::min<int64_t>(deadline_s * 1000 + kMsAMinute, INT32_MAX));
  const jobs::Verdict verdict = jobs::run_now(folder.path(), job, timeout_ms, &interrupted);
  if (verdict.status != "ok") return report_failure(options, verdict);

  BITLOOP_ASSIGN(events, read_file(folder.path() / "events.jsonl", kMostRecords));
  BITLOOP_ASSIGN(profile, read_profile(events));
  if (!options.out.empty())
    BITLOOP_TRY(write_file_atomic(
        options.out, chrome_trace(profile, target.name + " (" + options.preset + ")")));
  const auto flops = flops_per_token(target.preset);
  if (options.json) {
    print_json("ok", "profiled", profile_document(profile, flops), options.out);
    return kDone;
  }
  fmt::print("{}", profile_text(profile, options.preset, flops));
  if (!options.out.empty()) {
    fmt::print("\n{}: {} spans; open it in chrome://tracing or ui.perfetto.dev\n", options.out,
               profile.span_count());
    if (profile.dropped > 0)
      fmt::print("{} later spans are left out of it, not of the table; use fewer --steps\n",
                 profile.dropped);
  }
  return kDone;
}

}  // namespace

void add_profile(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* command = app.add_subcommand(
      "profile", "Time some steps of training in the jail: where a step's time goes");
  command->footer(
      "Shares are of the time of the thread that leads; the trace has all threads. Nothing is "
      "scored, and the ledger gets no row.");
  command->add_option("FILE", options->file, "the Lua file")->required();
  command->add_option("--preset", options->preset, "preset or task (default quick)");
  command->add_option("--steps", options->steps, "how many steps are timed (default 10)")
      ->check(CLI::Range(int64_t{1}, kMostSteps));
  command->add_option("--out", options->out,
                      "file for a Chrome trace of the steps (chrome://tracing, Perfetto)");
  command->add_option("--device", options->overrides.device, "cpu, cuda or auto");
  command->add_option("--set", options->overrides.assignments, "KEY=VALUE of the preset, repeated");
  command->add_flag("--json", options->json,
                    "one JSON document: {status, message, profile, trace}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
