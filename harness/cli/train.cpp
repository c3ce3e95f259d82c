#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/follow.h"
#include "harness/cli/initial_model.h"
#include "harness/cli/noise.h"
#include "harness/cli/progress.h"
#include "harness/cli/rank_environment.h"
#include "harness/sessions/job.h"
#include "harness/sessions/state.h"

namespace bitloop::cli {
namespace {

constexpr int64_t kPollMs = 200;

struct TrainOptions {
  std::string file;
  std::string preset = "quick";
  std::string workspace, benchmarks, init_from;
  std::string description;
  int64_t seed = -1;
  int64_t resume = 0;  // a test, 0: none
  Overrides overrides;
  bool json = false;
  bool allow_degraded = false;
};

std::atomic<bool> interrupted{false};

// Only of the preset as it is: another one has another noise.
std::string closing_line(const TrainOptions& options, const Target& target,
                         const sessions::TestView& test) {
  const auto loss = test.metrics.find("val_loss");
  if (options.overrides.any() || !options.init_from.empty() || loss == test.metrics.end() ||
      !loss->is_number())
    return "";
  return noise_line(target.task.measured, loss->get<double>());
}

// `target`: what was trained; null of a run that was resumed.
int print_result(const TrainOptions& options, const Target* target,
                 const sessions::TestView& test) {
  if (options.json) {
    const nlohmann::ordered_json document = {
        {"status", test.status}, {"message", test.message}, {"metrics", test.metrics}};
    fmt::print("{}\n", document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}\n", test.message);
    if (const std::string line = target ? closing_line(options, *target, test) : ""; !line.empty())
      fmt::print("{}\n", line);
  }
  if (test.status == "ok") return kDone;
  if (test.status == "infrastructure") return report({"infrastructure", test.message});
  fmt::print(stderr, "bitloop: the candidate failed: {}\n", test.status);
  return kCandidateFailed;
}

// What a process that is not rank 0 of several machines does.
int train_along(const TrainOptions& options, const Target& target, int64_t rank) {
  const int64_t seed =
      options.seed >= 0 ? options.seed : sessions::default_seed(target.task, target.preset);
  const auto followed = follow(target, seed, options.allow_degraded, interrupted);
  if (!followed) return report(followed.error());
  const std::string message = fmt::format("rank {}: {}", rank, followed->message);
  if (options.json)
    fmt::print("{}\n",
               nlohmann::ordered_json{{"status", followed->status}, {"message", message}}.dump(
                   1, ' ', false, nlohmann::json::error_handler_t::replace));
  else
    fmt::print("{}\n", message);
  if (followed->status == "ok") return kDone;
  if (followed->status == "infrastructure") return report({"infrastructure", message});
  return kCandidateFailed;
}

int train(const TrainOptions& options) {
  std::optional<Target> target;
  const auto environment = rank_environment([](const char* name) { return std::getenv(name); });
  if (!environment) return report(environment.error());
  if (options.resume > 0 && *environment)
    return report(
        {"wrong_usage",
         fmt::format("a run is resumed by one process, but this one is rank {} of {}, says its "
                     "environment (RANK, or SLURM_PROCID): call bitloop train --resume {} without "
                     "torchrun or srun, with --ranks for several processes on this machine",
                     (*environment)->rank, (*environment)->count, options.resume)});
  Overrides no_ranks = options.overrides;
  no_ranks.ranks = 0;
  if (options.resume > 0 && (no_ranks.any() || options.seed >= 0 || !options.description.empty() ||
                             !options.init_from.empty()))
    return report({"wrong_usage",
                   "a run goes on as it was begun: leave out --seed, --description, --init-from, "
                   "--steps, --eval-every, --device and --set with --resume"});
  if (options.resume == 0) {
    auto loaded = load_target(options.file, options.preset);
    if (!loaded) return report(loaded.error());
    if (const auto applied = apply_overrides(options.overrides, loaded->preset); !applied)
      return report(applied.error());
    if (const auto found =
            find_initial_model(options.init_from, choose_workspace(options.workspace), *loaded);
        !found)
      return report(found.error());
    target = std::move(*loaded);
    if (*environment)
      if (const auto joined =
              join_ranks(**environment, options.overrides, options.allow_degraded, target->preset);
          !joined)
        return report(joined.error());
  }
  if (const auto layers = probe_sandbox(options.allow_degraded); !layers)
    return report(layers.error());
  if (target)
    if (const auto tried = try_initial_model(*target, options.allow_degraded); !tried)
      return report(tried.error());
  ::signal(SIGINT, [](int) { interrupted = true; });
  ::signal(SIGTERM, [](int) { interrupted = true; });
  if (target && *environment && (*environment)->rank > 0)
    return train_along(options, *target, (*environment)->rank);
  auto service =
      sessions::Service::open({choose_workspace(options.workspace), share_dir(), 1,
                               options.allow_degraded, 0, choose_benchmarks(options.benchmarks)});
  if (!service) return report(service.error());

  auto test = [&] {
    if (!target)
      return (*service)->resume_local(sessions::kLocalType, options.resume,
                                      options.overrides.ranks);
    sessions::LocalRun run{target->candidate, target->name,   options.description,
                           target->task,      target->preset, {}};
    if (options.seed >= 0) run.seed = options.seed;
    return (*service)->start_local(run);
  }();
  if (!test) return report(test.error());
  const std::filesystem::path folder = (*service)->run_dir("local", test->test);
  Progress progress(stdout, target ? target->preset["train"]["steps"].get<int64_t>() : 0);
  bool cancelled = false;
  while (test && test->status == "running") {
    test = (*service)->test("local", test->test, kPollMs);
    if (!options.json) progress.update(read_file(folder / "events.jsonl").value_or(""));
    if (interrupted && !cancelled) cancelled = (*service)->cancel("local", test->test);
  }
  progress.finish();
  if (!test) return report(test.error());
  return print_result(options, target ? &*target : nullptr, *test);
}

}  // namespace

void add_train(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand(
      "train", "Train and score a Lua quantizer; a row in the ledger, session local");
  CLI::Option* file = command->add_option("FILE", options->file, "the Lua file");
  command
      ->add_option("--resume", options->resume,
                   "instead of FILE: the number of a run of yours that was killed, or ended as "
                   "infrastructure or out_of_memory, and had --set checkpoint.every=STEPS; it "
                   "goes on from its newest checkpoint")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}))
      ->excludes(file);
  command->add_option("--preset", options->preset, "preset or task (default quick)");
  command
      ->add_option("--seed", options->seed, "random seed (default: the task's, else the preset's)")
      ->check(CLI::Range(int64_t{0}, int64_t{2147483647}));
  add_init_from(*command, options->init_from);
  add_overrides(*command, options->overrides);
  command->add_option("--description", options->description, "the idea, for the ledger");
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  add_benchmarks(*command, options->benchmarks);
  command->add_flag("--json", options->json, "one JSON document: {status, message, metrics}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] {
    if (options->file.empty() && options->resume == 0) throw CLI::RequiredError("FILE");
    exit_code = train(*options);
  });
}

}  // namespace bitloop::cli
