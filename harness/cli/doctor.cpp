#include "harness/cli/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/common.h"

namespace bitloop::cli {
namespace {

struct CommandOptions {
  std::string workspace, benchmarks;
  bool repair = false;
  bool json = false;
};

const char* name_of(Health health) {
  constexpr const char* kNames[] = {"ok", "warning", "problem"};
  return kNames[static_cast<size_t>(health)];
}

void print(const std::vector<Check>& checks, const std::vector<std::string>& repaired, bool json) {
  if (!json) {
    for (const std::string& sentence : repaired) fmt::print("repaired  {}\n", sentence);
    for (const Check& check : checks)
      fmt::print("{:<8}  {}: {}{}\n", name_of(check.health), check.name, check.detail,
                 check.advice.empty() ? "" : fmt::format(" ({})", check.advice));
    return;
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Check& check : checks)
    list.push_back({{"check", check.name},
                    {"state", name_of(check.health)},
                    {"detail", check.detail},
                    {"advice", check.advice}});
  fmt::print("{}\n", nlohmann::ordered_json{{"checks", list}, {"repaired", repaired}}.dump(
                         1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

Result<int> doctor(const CommandOptions& given) {
  std::error_code ignored;
  DoctorOptions options;
  options.workspace = std::filesystem::absolute(choose_workspace(given.workspace), ignored);
  options.benchmarks = choose_benchmarks(given.benchmarks);
  if (!std::filesystem::is_directory(options.workspace, ignored))
    return fail("no_workspace", fmt::format("there is no workspace at {}: name it with --workspace",
                                            options.workspace.string()));
  std::vector<std::string> repaired;
  if (given.repair) {
    BITLOOP_ASSIGN(done, repair(options.workspace));
    repaired = std::move(done);
  }
  options.server = workspace_is_held(options.workspace);
  std::vector<Check> checks = check_workspace(options);
  for (Check& check : check_machine(options)) checks.push_back(std::move(check));
  print(checks, repaired, given.json);
  const bool well = std::ranges::none_of(
      checks, [](const Check& check) { return check.health == Health::kProblem; });
  return well ? 0 : 1;
}

}  // namespace

void add_doctor(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<CommandOptions>();
  CLI::App* command = app.add_subcommand(
      "doctor", "Look at workspace, journal, ledger, runs and machine; repair what can be rebuilt");
  command->footer("Exit codes: 0 all well (warnings too), 1 problems, 3 it can't look.");
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  add_benchmarks(*command, options->benchmarks);
  command->add_flag("--repair", options->repair,
                    "rebuild the ledger, remove leftovers and orphans; not while a server runs");
  command->add_flag("--json", options->json, "one JSON document: {checks, repaired}");
  command->callback([options, &exit_code] { exit_code = finish(doctor(*options)); });
}

}  // namespace bitloop::cli
