#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/baselines/curves.h"
#include "harness/baselines/early_stop.h"
#include "harness/baselines/plot.h"
#include "harness/baselines/summary.h"
#include "harness/baselines/table.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/plan_progress.h"
#include "harness/cli/plan_runs.h"

namespace bitloop::cli {
namespace {

struct BaselineOptions {
  std::vector<std::string> files;
  std::string preset = "quick";
  int seeds = 3;
  size_t jobs = 1;
  std::string workspace, benchmarks;
  std::string output;
  Overrides overrides;
  bool dry_run = false;
  bool report = false;
  bool json = false;
  bool allow_degraded = false;
};

Result<std::vector<std::filesystem::path>> chosen_files(const BaselineOptions& options) {
  if (!options.files.empty())
    return std::vector<std::filesystem::path>(options.files.begin(), options.files.end());
  const std::filesystem::path folder = share_dir() / "quantizers";
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == ".lua") files.push_back(entry->path());
  if (error) return std::unexpected(errno_error(folder.string(), error.value()));
  std::ranges::sort(files);
  return files;
}

// What was measured under another preset, or of a few files, must not take the place of the
// preset's own table.
Result<std::filesystem::path> output_folder(const BaselineOptions& options) {
  if (!options.output.empty()) return std::filesystem::path(options.output);
  if (options.overrides.any() && !options.dry_run)
    return fail("wrong_usage",
                "With --steps, --eval-every or --set this is not the preset any more: name a "
                "folder for its table with --output.");
  const std::filesystem::path checked_in = std::filesystem::path("results") / "baselines";
  std::error_code ignored;
  const bool whole = options.files.empty() && std::filesystem::is_directory(checked_in, ignored);
  return whole ? checked_in : std::filesystem::path(".");
}

void print_plan(const baselines::Plan& plan, bool json) {
  if (json) {
    nlohmann::ordered_json runs = nlohmann::ordered_json::array();
    for (const baselines::PlannedRun& run : plan.runs)
      runs.push_back({{"name", plan.candidates[run.candidate].name},
                      {"seed", run.seed},
                      {"status", run.done       ? nlohmann::ordered_json(run.done->status)
                                 : run.test > 0 ? nlohmann::ordered_json("running")
                                                : nlohmann::ordered_json()}});
    fmt::print("{}\n", nlohmann::ordered_json{{"left", plan.left()}, {"runs", runs}}.dump(1));
    return;
  }
  for (const baselines::PlannedRun& run : plan.runs)
    fmt::print("{}\n", run.done
                           ? ended_text(plan, run)
                           : fmt::format("{}  seed {}  {}", plan.candidates[run.candidate].name,
                                         run.seed, run.test > 0 ? "running" : "to do"));
  fmt::print("{} runs, {} of them to do.\n", plan.runs.size(), plan.left());
}

std::string early_stop_line(const tasks::EarlyStop& stop) {
  const tasks::EarlyStopRecord& record = stop.record;
  return fmt::format(
      "Early stop: of {} recorded runs {} would be stopped, {} of them falsely (they ended no "
      "worse "
      "than {} by more than the noise); {:.0f}% of all steps saved.",
      record.runs, record.stopped, record.false_stops, stop.rule.baseline,
      100 * record.steps_saved);
}

// The curves into `output`, and, where the task ends hopeless tests, the limits that they give.
// Returns a line for people.
Result<std::string> publish_curves(const baselines::Plan& plan,
                                   const std::filesystem::path& workspace,
                                   const std::filesystem::path& output) {
  const auto curves = baselines::read_curves(plan, workspace / "runs");
  if (curves.empty()) return std::string();
  BITLOOP_TRY(write_file_atomic(output / (plan.task.name + "-curves.tsv"),
                                baselines::curves_text(plan, curves)));
  if (!plan.task.early_stop) return std::string();
  const auto measured = baselines::measure_early_stop(
      plan.task.early_stop->rule, plan.preset.at("train").at("steps").get<int64_t>(), curves);
  if (!measured) return measured.error().message + ".";
  nlohmann::ordered_json document = tasks::to_json(*measured);
  document["evaluations"] = tasks::evaluations_of(plan.preset);
  BITLOOP_TRY(
      write_file_atomic(output / (plan.task.name + "-early-stop.json"), document.dump(1) + "\n"));
  return early_stop_line(*measured);
}

// Tables and plot into `output`, the answer to stdout.
Status publish(const BaselineOptions& options, const baselines::Plan& plan,
               const std::filesystem::path& workspace, const std::filesystem::path& output) {
  const baselines::Summary summary = baselines::summarize(plan);
  std::error_code error;
  std::filesystem::create_directories(output, error);
  if (error) return std::unexpected(errno_error(output.string(), error.value()));
  const std::filesystem::path table = output / (plan.task.name + ".tsv");
  BITLOOP_TRY(write_file_atomic(table, baselines::table_text(summary)));
  BITLOOP_ASSIGN(stops, publish_curves(plan, workspace, output));
  // The numbers are safe by now; a plot that cannot be drawn is said, and no failure.
  const std::filesystem::path plot = output / (plan.task.name + ".svg");
  const auto drawn = baselines::draw_plot(summary, plot);
  if (!drawn) fmt::print(stderr, "bitloop: {}\n", drawn.error().message);
  if (options.json) {
    nlohmann::ordered_json document = baselines::table_json(summary);
    document["table"] = table.string();
    document["plot"] = drawn ? nlohmann::ordered_json(plot.string()) : nullptr;
    fmt::print("{}\n", document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}{}{}{}{}\n", baselines::table_for_people(summary), stops,
               stops.empty() ? "" : "\n", table.string(), drawn ? ", " + plot.string() : "");
  }
  return {};
}

int perform(const BaselineOptions& options) {
  const auto files = chosen_files(options);
  if (!files) return report(files.error());
  auto plan = make_plan({*files, options.preset, options.seeds, options.overrides});
  if (!plan) return report(plan.error());
  const auto output = output_folder(options);
  if (!output) return report(output.error());
  TrainPlan training{sessions::kBaselineType, {sessions::kBaselineType},
                     options.workspace,       options.jobs,
                     options.allow_degraded,  choose_benchmarks(options.benchmarks)};
  if (options.workspace.empty()) training.workspace = default_workspace() / "baseline-runs";
  if (const auto taken = take_earlier_runs(*plan, training); !taken) return report(taken.error());
  if (options.dry_run) {
    print_plan(*plan, options.json);
    return kDone;
  }
  if (!options.report && plan->left() > 0)
    if (const auto trained = train_plan(*plan, training); !trained) return report(trained.error());
  if (const auto published = publish(options, *plan, training.workspace, *output); !published)
    return report(published.error());
  return kDone;
}

}  // namespace

void add_baseline(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<BaselineOptions>();
  CLI::App* command = app.add_subcommand(
      "baseline", "Train all quantizers (or FILEs) under several seeds; a table and a plot");
  command->footer(
      "Each run is an ordinary one: jailed, in the journal and the ledger, type baseline. Killed "
      "and started again, the command goes on where it was: a run counts as done when the "
      "workspace has one of the same text, preset, rules and seed that ended ok, or that failed "
      "by its own fault under this version of bitloop.");
  command->add_option("FILE", options->files, "Lua files (default: every quantizer of bitloop)");
  command->add_option("--preset", options->preset, "preset or task (default quick)");
  command->add_option("--seeds", options->seeds, "how many, from the preset's on (default 3)")
      ->check(CLI::Range(1, 1000));
  command->add_option("--jobs", options->jobs, "runs at a time (default 1)")
      ->check(CLI::Range(1, 256));
  command->add_option("--workspace", options->workspace,
                      "folder of journal, ledger and runs (default: baseline-runs in the default "
                      "workspace, so that a server there is not disturbed)");
  add_benchmarks(*command, options->benchmarks);
  command->add_option("--output", options->output,
                      "folder for PRESET.tsv and PRESET.svg (default: ./results/baselines where "
                      "that exists and no FILE is named, else the current folder)");
  add_overrides(*command, options->overrides);
  command->add_flag("--dry-run", options->dry_run, "say what is done and what is left, and stop");
  command->add_flag("--report", options->report,
                    "train nothing: table and plot of the runs that there are");
  command->add_flag(
      "--json", options->json,
      "one JSON document: {task, steps, seeds, noise_floor, baselines: [...], table, plot}; "
      "of --dry-run {left, runs: [...]}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = end_by_signal(perform(*options)); });
}

}  // namespace bitloop::cli
