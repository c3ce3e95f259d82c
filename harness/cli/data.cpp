#include <fmt/format.h>

#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/evaluation/benchmarks.h"

namespace bitloop::cli {
namespace {

struct BenchmarkOptions {
  std::string folder, to;
  bool unverified = false;
  bool allow_degraded = false;
  bool json = false;
};

Result<int> benchmarks(const BenchmarkOptions& options) {
  const std::filesystem::path to = choose_benchmarks(options.to);
  BITLOOP_ASSIGN(prepared, evaluation::prepare_benchmarks(
                               {options.folder, to, options.unverified, options.allow_degraded}));
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  int64_t used = 0;
  for (const evaluation::Prepared& entry : prepared) {
    used += entry.file.empty() || entry.part > 0 ? 0 : 1;
    if (options.json)
      list.push_back({{"source", entry.source.string()},
                      {"file", entry.file},
                      {"sha256", entry.sha256},
                      {"known", entry.known},
                      {"part", entry.part},
                      {"documents", entry.documents},
                      {"why_not", entry.why_not}});
    else if (entry.file.empty())
      fmt::print("not used  {}: {}\n", entry.source.string(), entry.why_not);
    else if (entry.part > 0)
      fmt::print("{:<8}  {}: part {} of {}\n", entry.known ? "ok" : "unknown",
                 entry.source.string(), entry.part, entry.file);
    else
      fmt::print("{:<8}  {}: {} documents, as {}\n", entry.known ? "ok" : "unknown",
                 entry.source.string(), entry.documents, entry.file);
  }
  if (options.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"folder", to.string()}, {"files", list}}.dump(
                           1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  else
    fmt::print("{} files in {}\n", used, to.string());
  if (used == 0)
    return fail(
        "wrong_usage",
        fmt::format("{}: no file of a benchmark there that this version knows", options.folder));
  return kDone;
}

}  // namespace

void add_data(CLI::App& app, int& exit_code) {
  CLI::App* data = app.add_subcommand("data", "Prepare data");
  data->require_subcommand(1);
  auto options = std::make_shared<BenchmarkOptions>();
  CLI::App* command = data->add_subcommand(
      "benchmarks", "Make what bitloop eval reads of the benchmarks' published files");
  command->add_option("DIR", options->folder, "folder with the published files")->required();
  command->add_option("--to", options->to,
                      "folder to write to (default: $XDG_DATA_HOME/bitloop/benchmarks)");
  command->add_flag("--unverified", options->unverified,
                    "take files by their names, too, whose hashes this version does not know");
  command->add_flag("--allow-degraded", options->allow_degraded,
                    "read Parquet files although the machine lacks layers of the jail");
  command->add_flag("--json", options->json, "one JSON document");
  command->callback([options, &exit_code] { exit_code = finish(benchmarks(*options)); });
}

}  // namespace bitloop::cli
