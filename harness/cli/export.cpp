#include <fmt/format.h>

#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/evaluation/jailed_evaluation.h"

namespace bitloop::cli {
namespace {

struct ExportOptions {
  std::string run, to, tokenizer;
  std::string weights = "quantised";
  JailSize jail;
  bool allow_degraded = false;
};

Result<int> run(const ExportOptions& options) {
  BITLOOP_TRY(prepare_for_jail(options.allow_degraded));
  evaluation::ExportRequest request;
  request.run = options.run;
  request.to = options.to;
  request.tokenizer = options.tokenizer;
  request.latent = options.weights == "latent";
  request.threads = options.jail.thread_count();
  request.memory_bytes = options.jail.memory_bytes();
  request.allow_degraded = options.allow_degraded;
  BITLOOP_ASSIGN(has_tokenizer, evaluation::export_model(request));
  fmt::print("{} has config.json and model.safetensors, with the {} weights, and {}\n", options.to,
             request.latent ? "latent" : "quantised",
             has_tokenizer ? "tokenizer.json"
                           : "no tokenizer.json, because its tokens are neither bytes nor GPT-2's: "
                             "--tokenizer names one");
  return kDone;
}

}  // namespace

void add_export(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command =
      app.add_subcommand("export", "Write a run's model in the form of Hugging Face");
  command
      ->add_option("RUN", options->run,
                   "folder of a run: WORKSPACE/runs/SESSION-TEST, or a packed model")
      ->required();
  command->add_option("--to", options->to, "folder to write")->required();
  command
      ->add_option("--weights", options->weights,
                   "quantised (the default): those that layers compute with; latent: those before "
                   "quantisation. Activations are not quantised in either")
      ->check(CLI::IsMember({"quantised", "latent"}));
  command->add_option("--tokenizer", options->tokenizer,
                      "tokenizer.json, or a folder with one, to be written beside the model "
                      "(default: that of the Hugging Face model which the run began with, of "
                      "bytes, or GPT-2's)");
  add_jail_memory(*command, options->jail);
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
