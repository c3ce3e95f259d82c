// The program `bitloop`: parses the command line, runs one command, maps what happened to an exit
// code (design: 0 done, 1 the candidate failed, 2 wrong usage, 3 the machine cannot).
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "harness/base/version.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"

namespace bitloop::cli {
namespace {

int parse_and_run(int argc, char** argv) {
  CLI::App app{
      "bitloop: edit a Lua quantizer, train a GPT-2 with it in a jail, read an honest score.",
      "bitloop"};
  app.set_version_flag("--version", fmt::format("bitloop {} ({})", version(), git_hash()));
  app.require_subcommand(1);
  int exit_code = kDone;
  add_serve(app, exit_code);
  add_token(app, exit_code);
  add_mcp(app, exit_code);
  add_check(app, exit_code);
  add_train(app, exit_code);
  add_baseline(app, exit_code);
  add_compare(app, exit_code);
  add_eval(app, exit_code);
  add_estimate(app, exit_code);
  add_export(app, exit_code);
  add_generate(app, exit_code);
  add_pack(app, exit_code);
  add_quantize(app, exit_code);
  add_profile(app, exit_code);
  add_data(app, exit_code);
  add_lua(app, exit_code);
  add_results(app, exit_code);
  add_show(app, exit_code);
  add_diff(app, exit_code);
  add_doctor(app, exit_code);
  add_replay(app, exit_code);
  add_verify(app, exit_code);
  add_completion(app, exit_code);
  add_demo(app, exit_code);
  add_supervise(app, exit_code);
  app.footer("Exit codes: 0 done, 1 the candidate failed, 2 wrong usage, 3 the machine cannot.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    fmt::print(stderr, "bitloop: {} (bitloop --help tells more)\n", error.what());
    return kWrongUsage;
  }
  return exit_code;
}

}  // namespace
}  // namespace bitloop::cli

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("bitloop"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  try {
    return bitloop::cli::parse_and_run(argc, argv);
  } catch (const std::exception& error) {
    return bitloop::cli::report({"internal", error.what()});
  }
}
