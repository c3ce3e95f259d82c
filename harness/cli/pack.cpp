#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/evaluation/jailed_evaluation.h"

namespace bitloop::cli {
namespace {

namespace fs = std::filesystem;

struct PackOptions {
  std::string run, output;
  std::string floats = "float32";
  JailSize jail;
  bool json = false;
  bool allow_degraded = false;
};

Result<int> run(const PackOptions& options) {
  const fs::path folder = fs::absolute(options.run).lexically_normal();
  const std::string name =
      (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  evaluation::PackRequest request;
  request.run = options.run;
  request.file =
      options.output.empty() ? fs::path(name + ".safetensors") : fs::path(options.output);
  BITLOOP_TRY(check_output(request.file));
  BITLOOP_TRY(prepare_for_jail(options.allow_degraded));
  request.bfloat16 = options.floats == "bfloat16";
  request.threads = options.jail.thread_count();
  request.memory_bytes = options.jail.memory_bytes();
  request.allow_degraded = options.allow_degraded;
  BITLOOP_ASSIGN(bits, evaluation::pack_run(request));
  std::error_code failed;
  const uintmax_t bytes = fs::file_size(request.file, failed);
  if (options.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"file", request.file.string()},
                                              {"bytes", bytes},
                                              {"packed_bits_per_weight", bits}}
                           .dump(1));
  else
    fmt::print("{}: {} bytes, {:.4f} bits a weight in the BitLinear layers\n",
               request.file.string(), bytes, bits);
  return kDone;
}

}  // namespace

void add_pack(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PackOptions>();
  CLI::App* command = app.add_subcommand(
      "pack", "Write a run's model as one file of the size that its bits promise");
  command->footer(
      "The file holds codes at their true cost, scales in the declared type, everything else in "
      "float32, and the candidate; docs/packing.md describes it. bitloop eval --model FILE scores "
      "it.");
  command->add_option("RUN", options->run, "folder of a run: WORKSPACE/runs/SESSION-TEST")
      ->required();
  command->add_option("--output", options->output,
                      "file to write (default: SESSION-TEST.safetensors in the current folder)");
  command
      ->add_option("--floats", options->floats,
                   "type of embeddings, norms and biases: float32 (the default) or bfloat16, which "
                   "changes scores a little")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  add_jail_memory(*command, options->jail);
  command->add_flag("--json", options->json,
                    "one JSON document: {file, bytes, packed_bits_per_weight}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
