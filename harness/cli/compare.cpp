#include <fmt/format.h>

#include <memory>

#include "harness/baselines/verdict.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/plan_runs.h"

namespace bitloop::cli {
namespace {

struct CompareOptions {
  std::string a, b;
  std::string preset = "quick";
  int seeds = 3;
  size_t jobs = 1;
  std::string workspace, benchmarks;
  Overrides overrides;
  bool json = false;
  bool allow_degraded = false;
};

int perform(const CompareOptions& options) {
  auto plan = make_plan({{options.a, options.b}, options.preset, options.seeds, options.overrides});
  if (!plan) return report(plan.error());
  // One name for two files, as when a file is compared with itself.
  if (plan->candidates[0].name == plan->candidates[1].name) {
    plan->candidates[0].name += " (A)";
    plan->candidates[1].name += " (B)";
  }
  const TrainPlan training{sessions::kLocalType,
                           {sessions::kLocalType, sessions::kBaselineType},
                           choose_workspace(options.workspace),
                           options.jobs,
                           options.allow_degraded,
                           choose_benchmarks(options.benchmarks)};
  if (const auto taken = take_earlier_runs(*plan, training); !taken) return report(taken.error());
  if (plan->left() > 0)
    if (const auto trained = train_plan(*plan, training); !trained) return report(trained.error());

  const baselines::Summary summary = baselines::summarize(*plan);
  const baselines::Entry& a = *summary.find(plan->candidates[0].name);
  const baselines::Entry& b = *summary.find(plan->candidates[1].name);
  baselines::Verdict verdict = baselines::compare(a, b);
  verdict.benchmarks = baselines::compare_benchmarks(*plan, training.workspace);
  if (options.json)
    fmt::print("{}\n", baselines::verdict_json(summary, a, b, verdict)
                           .dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  else
    fmt::print("{}", baselines::verdict_for_people(a, b, verdict));
  for (const baselines::Entry* side : {&a, &b}) {
    if (side->count("ok") == side->seeds.size()) continue;
    fmt::print(stderr, "bitloop: {} failed: {}\n", side->name, side->statuses());
    return kCandidateFailed;
  }
  return kDone;
}

}  // namespace

void add_compare(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command = app.add_subcommand(
      "compare", "Train two quantizers on the same seeds: is the difference beyond the noise?");
  command->footer(
      "Runs of one seed have the same initial weights and the same data in the same order, so the "
      "differences are taken seed by seed, and Student's t over them decides (95%). Benchmarks are "
      "compared document by document, which tells about these trained models alone. Runs that the "
      "workspace has already are not repeated: more --seeds go on where fewer stopped.");
  command->add_option("A", options->a, "a Lua file: what is compared with")->required();
  command->add_option("B", options->b, "a Lua file: what is judged")->required();
  command->add_option("--preset", options->preset, "preset or task (default quick)");
  command->add_option("--seeds", options->seeds, "pairs, from the preset's seed on (default 3)")
      ->check(CLI::Range(1, 1000));
  command->add_option("--jobs", options->jobs, "runs at a time (default 1)")
      ->check(CLI::Range(1, 256));
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  add_benchmarks(*command, options->benchmarks);
  add_overrides(*command, options->overrides);
  command->add_flag(
      "--json", options->json,
      "one JSON document: {task, steps, seeds, a, b, difference, benchmarks, verdict, message}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = end_by_signal(perform(*options)); });
}

}  // namespace bitloop::cli
