#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "harness/base/paths.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/shell/console.h"

namespace bitloop::cli {
namespace {

struct LuaOptions {
  std::string file;
  std::vector<std::string> chunks;
  std::vector<std::string> tensors;
  bool allow_degraded = false;
};

constexpr const char* kExamples =
    "Examples:\n"
    "  bitloop lua ternary                                 at a terminal: help() tells more\n"
    "  bitloop lua my.lua -e 'quantize(w)'                 codes, scales, error, bits, histograms\n"
    "  bitloop lua my.lua --tensor w=weights.npy -e 'print(quantize(w).snr_db)'\n"
    "  bitloop lua --tensor m=model.safetensors -e 'hist(m[\"h.0.attn.c_attn.weight\"])'\n"
    "  echo 'w:std()' | bitloop lua                        chunks from standard input\n"
    "Exit codes: 0 done, 1 the Lua failed, 2 wrong usage, 3 the machine cannot.";

Result<int> run(const LuaOptions& options) {
  const bool interactive =
      options.chunks.empty() && ::isatty(STDIN_FILENO) && ::isatty(STDOUT_FILENO);
  shell::Setup setup;
  setup.chunk_name = !options.chunks.empty() ? "-e" : interactive ? "lua" : "stdin";
  setup.quantizers = share_dir() / "quantizers";
  setup.allow_degraded = options.allow_degraded;
  if (!options.file.empty()) {
    BITLOOP_ASSIGN(file, shell::find_quantizer(options.file, setup.quantizers));
    setup.file = std::move(file);
  }
  for (const std::string& text : options.tensors) {
    BITLOOP_ASSIGN(tensor, shell::parse_tensor_option(text));
    setup.tensors.push_back(std::move(tensor));
  }
  BITLOOP_TRY(prepare_for_jail(options.allow_degraded));
  BITLOOP_ASSIGN(lua, shell::JailedLua::start(std::move(setup)));
  if (!options.chunks.empty()) return shell::run_chunks(*lua, options.chunks);
  return interactive ? shell::run_terminal(*lua) : shell::run_standard_input(*lua);
}

}  // namespace

void add_lua(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<LuaOptions>();
  CLI::App* command =
      app.add_subcommand("lua", "A Lua shell with the tensor language, in the jail");
  command->add_option("FILE", options->file,
                      "a quantizer to load as Q: a Lua file, or a name such as ternary");
  command
      ->add_option("-e", options->chunks,
                   "Lua to run; an expression's value is printed (may be repeated)")
      ->allow_extra_args(false);
  command
      ->add_option(
          "--tensor", options->tensors,
          "NAME=FILE: a .npy file as a tensor, or a .safetensors file as a table of tensors "
          "(NAME=FILE:TENSOR: one of them); may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->footer(kExamples);
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
