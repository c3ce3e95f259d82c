#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>

#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/noise.h"
#include "harness/cli/table.h"
#include "harness/ledger/ledger.h"

namespace bitloop::cli {
namespace {

struct ResultsOptions {
  std::string workspace;
  bool json = false;
};

int results(const ResultsOptions& options) {
  const std::filesystem::path workspace = choose_workspace(options.workspace);
  const auto rows = ledger::Ledger::read(workspace / "results.tsv");
  if (!rows) return report(rows.error());
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const ledger::Row& row : *rows) list.push_back(ledger::to_json(row));
    fmt::print("{}\n", nlohmann::json{{"results", list}}.dump(1));
    return kDone;
  }
  if (rows->empty()) {
    fmt::print("No results in {} yet.\n", workspace.string());
    return kDone;
  }
  fmt::print("{}", results_table(*rows));
  std::set<std::string> tasks;
  for (const ledger::Row& row : *rows) tasks.insert(row.task);
  for (const std::string& task : tasks) {
    const auto table = tasks::load_baselines(share_dir(), task);
    if (const std::string line = table ? noise_of_task(task, *table) : ""; !line.empty())
      fmt::print("{}\n", line);
  }
  return kDone;
}

}  // namespace

void add_results(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ResultsOptions>();
  CLI::App* command = app.add_subcommand("results", "Print the results table of a workspace");
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  command->add_flag("--json", options->json,
                    "one JSON document, {results: [...]}, with every column");
  command->callback([options, &exit_code] { exit_code = results(*options); });
}

}  // namespace bitloop::cli
