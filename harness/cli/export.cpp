#include <fmt/format.h>

#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/evaluation/jailed_evaluation.h"

namespace bitloop::cli {
namespace {

struct ExportOptions {
  std::string run, to;
  std::string weights = "quantised";
  JailSize jail;
  bool allow_degraded = false;
};

Result<int> run(const ExportOptions& options) {
  BITLOOP_TRY(prepare_for_jail(options.allow_degraded));
  evaluation::ExportRequest request;
  request.run = options.run;
  request.to = options.to;
  request.latent = options.weights == "latent";
  request.threads = options.jail.thread_count();
  request.memory_bytes = options.jail.memory_bytes();
  request.allow_degraded = options.allow_degraded;
  BITLOOP_TRY(evaluation::export_model(request));
  fmt::print("{} has config.json and model.safetensors, with the {} weights\n", options.to,
             request.latent ? "latent" : "quantised");
  return kDone;
}

}  // namespace

void add_export(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command =
      app.add_subcommand("export", "Write a run's model in the form of Hugging Face");
  command->add_option("RUN", options->run, "folder of a run: WORKSPACE/runs/SESSION-TEST")
      ->required();
  command->add_option("--to", options->to, "folder to write")->required();
  command
      ->add_option("--weights", options->weights,
                   "quantised (the default): those that layers compute with; latent: those before "
                   "quantisation. Activations are not quantised in either")
      ->check(CLI::IsMember({"quantised", "latent"}));
  add_jail_memory(*command, options->jail);
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
