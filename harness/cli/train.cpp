#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <memory>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/noise.h"
#include "harness/cli/progress.h"

namespace bitloop::cli {
namespace {

constexpr int64_t kPollMs = 200;

struct TrainOptions {
  std::string file;
  std::string preset = "quick";
  std::string workspace, benchmarks;
  std::string description;
  int64_t seed = -1;
  Overrides overrides;
  bool json = false;
  bool allow_degraded = false;
};

std::atomic<bool> interrupted{false};

// Only of the preset as it is: another one has another noise.
std::string closing_line(const TrainOptions& options, const tasks::Task& task,
                         const sessions::TestView& test) {
  const auto loss = test.metrics.find("val_loss");
  if (options.overrides.any() || loss == test.metrics.end() || !loss->is_number()) return "";
  return noise_line(task.measured, loss->get<double>());
}

int print_result(const TrainOptions& options, const tasks::Task& task,
                 const sessions::TestView& test, const std::string& reason) {
  if (options.json) {
    const nlohmann::ordered_json document = {
        {"status", test.status}, {"message", test.message}, {"metrics", test.metrics}};
    fmt::print("{}\n", document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}\n", test.message);
    if (const std::string line = closing_line(options, task, test); !line.empty())
      fmt::print("{}\n", line);
  }
  if (test.status == "ok") return kDone;
  if (test.status == "infrastructure") return report({"infrastructure", reason});
  fmt::print(stderr, "bitloop: the candidate failed: {}\n", test.status);
  return kCandidateFailed;
}

int train(const TrainOptions& options) {
  auto target = load_target(options.file, options.preset);
  if (!target) return report(target.error());
  if (const auto applied = apply_overrides(options.overrides, target->preset); !applied)
    return report(applied.error());
  if (const auto layers = probe_sandbox(options.allow_degraded); !layers)
    return report(layers.error());
  auto service =
      sessions::Service::open({choose_workspace(options.workspace), share_dir(), 1,
                               options.allow_degraded, 0, choose_benchmarks(options.benchmarks)});
  if (!service) return report(service.error());

  sessions::LocalRun run{target->candidate, target->name,   options.description,
                         target->task,      target->preset, {}};
  if (options.seed >= 0) run.seed = options.seed;
  ::signal(SIGINT, [](int) { interrupted = true; });
  ::signal(SIGTERM, [](int) { interrupted = true; });
  auto test = (*service)->start_local(run);
  if (!test) return report(test.error());
  const std::filesystem::path folder = (*service)->run_dir("local", test->test);
  Progress progress(stdout, target->preset["train"]["steps"].get<int64_t>());
  bool cancelled = false;
  while (test && test->status == "running") {
    test = (*service)->test("local", test->test, kPollMs);
    if (!options.json) progress.update(read_file(folder / "events.jsonl").value_or(""));
    if (interrupted && !cancelled) cancelled = (*service)->cancel("local", test->test);
  }
  progress.finish();
  if (!test) return report(test.error());
  return print_result(options, target->task, *test, test->message);
}

}  // namespace

void add_train(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand(
      "train", "Train and score a Lua quantizer; a row in the ledger, session local");
  command->add_option("FILE", options->file, "the Lua file")->required();
  command->add_option("--preset", options->preset, "preset or task (default quick)");
  command
      ->add_option("--seed", options->seed, "random seed (default: the task's, else the preset's)")
      ->check(CLI::Range(int64_t{0}, int64_t{2147483647}));
  add_overrides(*command, options->overrides);
  command->add_option("--description", options->description, "the idea, for the ledger");
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  add_benchmarks(*command, options->benchmarks);
  command->add_flag("--json", options->json, "one JSON document: {status, message, metrics}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = train(*options); });
}

}  // namespace bitloop::cli
