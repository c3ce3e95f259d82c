// `bitloop mcp`: the Model Context Protocol on stdio, for clients that start their servers
// themselves. Stdout carries messages of the protocol and nothing else.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <memory>

#include "harness/api/mcp/bridge.h"
#include "harness/api/mcp/protocol.h"
#include "harness/api/mcp/stdio.h"
#include "harness/base/paths.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"

namespace bitloop::cli {
namespace {

struct McpOptions {
  std::string url;
  std::string workspace, benchmarks;
  int jobs = 1;
  int ready_checks = 1;
  bool allow_degraded = false;
};

// A writer learns from the call, not from a signal, that the client is gone.
void ignore_broken_pipes() { ::signal(SIGPIPE, SIG_IGN); }

int bridge(const McpOptions& options) {
  const auto address = server_address(options.url);
  if (!address) return report(address.error());
  ignore_broken_pipes();
  api::mcp::bridge_stdio(*address, STDIN_FILENO, STDOUT_FILENO);
  return kDone;
}

int serve(const McpOptions& options) {
  const auto layers = probe_sandbox(options.allow_degraded);
  if (!layers) return report(layers.error());
  ignore_broken_pipes();
  auto service = sessions::Service::open(
      {choose_workspace(options.workspace), share_dir(), options.jobs, options.allow_degraded,
       options.ready_checks, choose_benchmarks(options.benchmarks), /*resumes_runs=*/true});
  if (!service && service.error().code == "workspace_in_use")
    return report(
        {service.error().code,
         service.error().message +
             " To use the server that holds it: bitloop mcp --url http://127.0.0.1:PORT"});
  if (!service) return report(service.error());
  const api::mcp::Protocol protocol(**service, api::make_routes(**service, {*layers}));
  api::mcp::serve_stdio(protocol, STDIN_FILENO, STDOUT_FILENO);
  (*service)->stop();
  // Runs live on under their supervisors; nothing that matters is in memory alone.
  ::_exit(kDone);
}

}  // namespace

void add_mcp(CLI::App& app, int& exit_code) {
  // shared with the callback, which outlives this function
  auto options = std::make_shared<McpOptions>();
  CLI::App* command =
      app.add_subcommand("mcp", "Speak MCP on stdio until its end (docs/agents.md); runs live on");
  CLI::Option* url = command->add_option(
      "--url", options->url,
      "pass everything on to a `bitloop serve` that runs at this URL, with the token in "
      "$BITLOOP_TOKEN where it has tokens");
  command->add_option("--workspace", options->workspace, kWorkspaceHelp)->excludes(url);
  add_benchmarks(*command, options->benchmarks)->excludes(url);
  command->add_option("--jobs", options->jobs, "tests that run at a time (default 1)")
      ->check(CLI::Range(1, 64));
  command
      ->add_option("--ready-checks", options->ready_checks,
                   "trainers kept ready for checks, one a task (default 1; 0: none)")
      ->check(CLI::Range(0, 16));
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] {
    exit_code = options->url.empty() ? serve(*options) : bridge(*options);
  });
}

}  // namespace bitloop::cli
