#include <fmt/format.h>

#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/reference.h"
#include "harness/cli/terminal.h"

namespace bitloop::cli {
namespace {

// As diff(1).
enum DiffCode : int { kSame = 0, kDifferent = 1, kTrouble = 2 };

struct DiffOptions {
  std::string a, b;
  std::string workspace;
  bool json = false;
};

Result<int> perform(const DiffOptions& options) {
  const std::filesystem::path workspace = choose_workspace(options.workspace);
  BITLOOP_ASSIGN(a, find_text(workspace, options.a));
  BITLOOP_ASSIGN(b, find_text(workspace, options.b));
  BITLOOP_ASSIGN(diff, named_diff(a, b));
  if (options.json)
    fmt::print(
        "{}\n",
        nlohmann::ordered_json{{"a", a.name}, {"b", b.name}, {"same", diff.empty()}, {"diff", diff}}
            .dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  else
    fmt::print("{}", has_color(stdout) ? colored_diff(diff) : diff);
  return diff.empty() ? kSame : kDifferent;
}

}  // namespace

void add_diff(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command = app.add_subcommand("diff", "What changed between two candidates");
  command->footer(
      "A candidate is a session (its newest), SESSION/TEST (what was trained), a commit of the "
      "journal, or a Lua file. Exit codes as of diff: 0 the same, 1 different, 2 trouble.");
  command->add_option("A", options->a, "SESSION, SESSION/TEST, a commit or a file")->required();
  command->add_option("B", options->b, "the same")->required();
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  command->add_flag("--json", options->json, "one JSON document: {a, b, same, diff}");
  command->callback([options, &exit_code] {
    const auto done = perform(*options);
    if (!done) report(done.error());
    exit_code = done ? *done : kTrouble;
  });
}

}  // namespace bitloop::cli
