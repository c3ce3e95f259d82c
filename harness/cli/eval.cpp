#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/progress.h"
#include "harness/evaluation/jailed_evaluation.h"

namespace bitloop::cli {
namespace {

using evaluation::Json;

struct EvalOptions {
  std::string model, benchmarks, tokens, output;
  std::string tasks;
  int64_t limit = 0, window = 0;
  JailSize jail;
  bool json = false;
  bool allow_degraded = false;
};

constexpr const char* kExamples =
    "Examples:\n"
    "  bitloop data benchmarks ~/Downloads/benchmarks         once: the published files\n"
    "  bitloop eval --model gpt2                              every task whose documents are "
    "there\n"
    "  bitloop eval --model gpt2 --tasks arc_easy,piqa --limit 100 --output scores.json\n"
    "  bitloop eval --model gpt2 --tokens fineweb_val_000000.bin\n"
    "Exit codes: 0 done, 2 wrong usage, 3 the machine cannot.";

// A bar that is drawn over, on a terminal; elsewhere nothing, for the table comes soon enough.
class Bar {
 public:
  void update(const evaluation::TaskProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    const bool last = progress.done == progress.all;
    if (!terminal_ || (!last && now - drawn_ < std::chrono::milliseconds(100))) return;
    drawn_ = now;
    fmt::print(
        stderr, "\r\x1b[K{} {} {}/{}",
        progress_bar(static_cast<int64_t>(progress.done), static_cast<int64_t>(progress.all), 30),
        progress.task, progress.done, progress.all);
    std::fflush(stderr);
  }
  void finish() const {
    if (terminal_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  std::chrono::steady_clock::time_point drawn_;
};

void print_table(const Json& result) {
  fmt::print("{:<16} {:>9}  {:<16} {:>10}  {:>8}\n", "task", "documents", "metric", "value",
             "stderr");
  for (const auto& [name, task] : result["tasks"].items())
    for (const auto& [metric, numbers] : task["metrics"].items())
      fmt::print("{:<16} {:>9}  {:<16} {:>10.4f}  {:>8}\n", name, task["documents"].get<int64_t>(),
                 metric, numbers["value"].is_number() ? numbers["value"].get<double>() : HUGE_VAL,
                 numbers["stderr"].is_number()
                     ? fmt::format("{:.4f}", numbers["stderr"].get<double>())
                     : "");
  for (const auto& [name, why] : result["skipped"].items())
    fmt::print("{:<16} not measured: {}\n", name, why.get<std::string>());
}

// Names with commas between, each once.
std::vector<std::string> task_list(const std::string& text) {
  std::vector<std::string> names;
  for (std::string name : split(text, ',')) {
    std::erase(name, ' ');
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

Result<int> run(const EvalOptions& options) {
  if (options.limit < 0) return fail("wrong_usage", "--limit must not be negative");
  if (!options.output.empty()) BITLOOP_TRY(check_output(options.output));
  evaluation::Request request;
  request.model = options.model;
  // With a file of tokens the benchmarks are asked for by name.
  if (options.tasks.empty() && !options.tokens.empty())
    request.tasks.emplace();
  else if (!options.tasks.empty() && options.tasks != "all")
    request.tasks = task_list(options.tasks);
  request.tokens = options.tokens;
  request.window = options.window;
  request.benchmarks = choose_benchmarks(options.benchmarks);
  request.limit = options.limit;
  request.threads = options.jail.thread_count();
  request.memory_bytes = options.jail.memory_bytes();
  request.allow_degraded = options.allow_degraded;
  BITLOOP_TRY(prepare_for_jail(options.allow_degraded));
  Bar bar;
  const auto start = std::chrono::steady_clock::now();
  auto result = evaluation::evaluate(
      request, [&](const evaluation::TaskProgress& progress) { bar.update(progress); });
  bar.finish();
  if (!result) return std::unexpected(result.error());
  (*result)["seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.json)
    fmt::print("{}\n", result->dump(1));
  else
    print_table(*result);
  if (!options.output.empty())
    BITLOOP_TRY(write_file_atomic(options.output, result->dump(1) + "\n"));
  return kDone;
}

}  // namespace

void add_eval(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand(
      "eval", "Score a model on benchmarks, as lm-evaluation-harness does, in the jail");
  command
      ->add_option("--model", options->model,
                   "a Hugging Face GPT-2 or Llama (a folder with config.json and "
                   "model.safetensors), the folder "
                   "of a run (WORKSPACE/runs/SESSION-TEST), or a packed model")
      ->required();
  command->add_option(
      "--tasks", options->tasks,
      "names, with commas between: " + join(evaluation::task_names(), ", ") +
          "; or all (the default without --tokens): those whose documents are there");
  CLI::Option* tokens = command->add_option(
      "--tokens", options->tokens,
      "a file of tokens (llm.c's shard, or headerless uint16): its loss, perplexity "
      "and bits per byte");
  command
      ->add_option("--window", options->window,
                   "of --tokens: tokens of a window (default: the model's context)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->needs(tokens);
  command->add_option("--limit", options->limit,
                      "documents of a task, or windows of tokens, at most");
  add_benchmarks(*command, options->benchmarks);
  command->add_option(
      "--output", options->output,
      "also write the JSON document there, with every document's log-probabilities");
  add_jail_threads(*command, options->jail);
  add_jail_memory(*command, options->jail);
  command->add_flag("--json", options->json, "print the JSON document, and nothing else");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->footer(kExamples);
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
