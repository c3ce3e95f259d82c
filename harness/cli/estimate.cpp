#include <fmt/format.h>

#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/tasks/estimate.h"

namespace bitloop::cli {
namespace {

struct EstimateOptions {
  std::string preset = "medium";
  tasks::Gpus gpus;
  Overrides overrides;
  bool json = false;
};

Result<int> run(const EstimateOptions& options) {
  Target target;
  BITLOOP_TRY(find_target(options.preset, target));
  BITLOOP_TRY(apply_overrides(options.overrides, target.preset));
  const tasks::Estimate made = tasks::estimate(target.preset, options.gpus);
  constexpr double kGb = 1e9;
  if (options.json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"preset", options.preset},
                                              {"gpus", options.gpus.count},
                                              {"params", made.parameters},
                                              {"tokens", made.tokens},
                                              {"flops_per_token", made.flops_per_token},
                                              {"tokens_per_s", made.tokens_per_s},
                                              {"hours", made.hours},
                                              {"gpu_memory_gb", made.gpu_bytes() / kGb}}
                           .dump(1));
    return kDone;
  }
  fmt::print("{}: {:.1f}M parameters, {:.2f}B tokens, {:.2f} GFLOP a token\n", options.preset,
             static_cast<double>(made.parameters) / 1e6, static_cast<double>(made.tokens) / 1e9,
             made.flops_per_token / 1e9);
  fmt::print(
      "time:   {:.1f} hours on {} GPU{} at {:.0f} tokens/s ({:.0f}% of {:.0f} TFLOP/s each)\n",
      made.hours, options.gpus.count, options.gpus.count == 1 ? "" : "s", made.tokens_per_s,
      options.gpus.share * 100, options.gpus.tflops);
  fmt::print(
      "memory: {:.1f} GB a GPU: {:.1f} for parameters and optimiser, {:.1f} for a micro-batch, "
      "{:.1f} for the rest\n",
      made.gpu_bytes() / kGb, made.state_bytes / kGb, made.activation_bytes / kGb,
      made.other_bytes / kGb);
  if (target.preset.at("model").at("architecture") == "llama")
    fmt::print(
        "note:   a Llama is trained operation by operation so far; the time is what our kernels "
        "would "
        "take that a GPT-2 has\n");
  if (options.gpus.count > 1)
    fmt::print(
        "note:   of {} ranks, one a GPU (bitloop train --ranks {}), without what they lose to each "
        "other\n",
        options.gpus.count, options.gpus.count);
  return kDone;
}

}  // namespace

void add_estimate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<EstimateOptions>();
  CLI::App* command = app.add_subcommand(
      "estimate", "Say how long a preset trains on GPUs, and in how much memory");
  command->footer(
      "Computed from the shapes; the rate is what was measured on an NVIDIA H200 "
      "(bench/README.md). "
      "For another GPU give the TFLOP/s of its dense bfloat16 products.");
  command->add_option("--preset", options->preset, "preset or task (default medium)");
  command->add_option("--gpus", options->gpus.count, "how many (default 1)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--tflops", options->gpus.tflops, "of one GPU (default 790)")
      ->check(CLI::Range(1.0, 100000.0));
  command->add_option("--share", options->gpus.share, "of that in whole steps (default 0.64)")
      ->check(CLI::Range(0.01, 1.0));
  add_overrides(*command, options->overrides);
  command->add_flag("--json", options->json, "one JSON document");
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
