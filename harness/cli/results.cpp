#include <fmt/format.h>

#include <memory>
#include <set>

#include "harness/base/paths.h"
#include "harness/baselines/plot.h"
#include "harness/baselines/rows.h"
#include "harness/baselines/verification.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/noise.h"
#include "harness/cli/table.h"
#include "harness/ledger/ledger.h"
#include "harness/ledger/query.h"

namespace bitloop::cli {
namespace {

using Columns = std::vector<const ledger::Column*>;

struct ResultsOptions {
  std::string workspace;
  std::string task, status, session, type, quantizer;
  std::vector<std::string> where;
  std::string sort, columns, plot;
  size_t limit = 0;  // 0: all
  bool best_per_bits = false;
  bool tsv = false, json = false;
};

Result<std::vector<ledger::Row>> choose(const ResultsOptions& options,
                                        std::vector<ledger::Row> rows) {
  std::vector<ledger::Condition> conditions;
  const std::pair<const char*, const std::string&> given[] = {{"task", options.task},
                                                              {"status", options.status},
                                                              {"session", options.session},
                                                              {"type", options.type},
                                                              {"quantizer", options.quantizer}};
  for (const auto& [name, value] : given)
    if (!value.empty())
      conditions.push_back(
          {ledger::find_column(name), ledger::Comparison::kEqual, value, std::nullopt});
  for (const std::string& text : options.where) {
    BITLOOP_ASSIGN(condition, ledger::parse_condition(text));
    conditions.push_back(std::move(condition));
  }
  std::erase_if(rows, [&](const ledger::Row& row) {
    return !std::ranges::all_of(conditions, [&](const ledger::Condition& condition) {
      return ledger::matches(row, condition);
    });
  });
  if (options.best_per_bits) rows = baselines::best_per_bits(rows);
  if (!options.sort.empty()) {
    BITLOOP_ASSIGN(order, ledger::parse_order(options.sort));
    ledger::sort_rows(rows, order);
  }
  if (options.limit > 0 && rows.size() > options.limit) rows.resize(options.limit);
  return rows;
}

void print_json(const std::vector<ledger::Row>& rows, const Columns& columns,
                const std::vector<ledger::Row>& all) {
  nlohmann::json list = nlohmann::json::array();
  for (const ledger::Row& row : rows) {
    nlohmann::json whole = ledger::to_json(row);
    whole["verified"] = baselines::to_json(baselines::verification_of(row, all));
    nlohmann::json part = nlohmann::json::object();
    for (const ledger::Column* column : columns) part[column->name] = whole.at(column->name);
    list.push_back(columns.empty() ? whole : part);
  }
  fmt::print("{}\n", nlohmann::json{{"results", list}}.dump(1));
}

void print_tsv(const std::vector<ledger::Row>& rows, const Columns& columns) {
  if (columns.empty()) {
    fmt::print("{}\n", ledger::header_line());
    for (const ledger::Row& row : rows) fmt::print("{}\n", ledger::render_line(row));
    return;
  }
  const auto line = [&](auto&& field) {
    for (size_t i = 0; i < columns.size(); ++i)
      fmt::print("{}{}", i == 0 ? "" : "\t", field(*columns[i]));
    fmt::print("\n");
  };
  line([](const ledger::Column& column) { return std::string(column.name); });
  for (const ledger::Row& row : rows)
    line([&](const ledger::Column& column) { return ledger::field_text(row, column); });
}

void print_table(const std::vector<ledger::Row>& rows, const Columns& columns,
                 const std::vector<ledger::Row>& all) {
  fmt::print("{}", columns.empty() ? results_table(rows, all) : columns_table(rows, columns));
  std::set<std::string> tasks;
  for (const ledger::Row& row : rows) tasks.insert(row.task);
  for (const std::string& task : tasks) {
    const auto table = tasks::load_baselines(share_dir(), task);
    if (const std::string line = table ? noise_of_task(task, *table) : ""; !line.empty())
      fmt::print("{}\n", line);
  }
}

Result<int> results(const ResultsOptions& options) {
  const std::filesystem::path workspace = choose_workspace(options.workspace);
  Columns columns;
  if (!options.columns.empty()) {
    BITLOOP_ASSIGN(named, ledger::named_columns(options.columns));
    columns = std::move(named);
  }
  if (!options.plot.empty()) BITLOOP_TRY(check_output(options.plot, "--plot"));
  BITLOOP_ASSIGN(all, ledger::Ledger::read(workspace / "results.tsv"));
  BITLOOP_ASSIGN(rows, choose(options, all));
  if (!options.plot.empty()) {
    BITLOOP_ASSIGN(summary, baselines::summarize_rows(rows));
    BITLOOP_TRY(baselines::draw_plot(summary, options.plot));
  }
  if (options.json) {
    print_json(rows, columns, all);
  } else if (options.tsv) {
    print_tsv(rows, columns);
  } else if (rows.empty()) {
    fmt::print("{}", all.empty() ? fmt::format("No results in {} yet.\n", workspace.string())
                                 : std::string("No results fit.\n"));
  } else {
    print_table(rows, columns, all);
    if (!options.plot.empty()) fmt::print("Plot: {}\n", options.plot);
  }
  return kDone;
}

}  // namespace

void add_results(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ResultsOptions>();
  CLI::App* command =
      app.add_subcommand("results", "Print the results table of a workspace, or a part of it");
  command->footer(
      "Conditions are quoted for the shell: --where 'val_loss<2.4' --where 'description~median'. "
      "Columns: results/README.md.");
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  command->add_option("--task", options->task, "of this task alone");
  command->add_option("--status", options->status, "that ended so (ok, diverged, ...)");
  command->add_option("--session", options->session, "of this session alone");
  command->add_option("--type", options->type, "agent, baseline, local or verify")
      ->check(CLI::IsMember({"agent", "baseline", "local", "verify"}));
  command->add_option("--quantizer", options->quantizer, "that began with this quantizer");
  command
      ->add_option("--where", options->where,
                   "condition on any column (=, !=, <, <=, >, >=, ~ for contains); may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--sort", options->sort, "by this column; -COLUMN: largest first");
  command->add_option("--limit", options->limit, "the first so many")
      ->check(CLI::Range(size_t{1}, size_t{1'000'000'000}));
  command->add_option("--columns", options->columns, "these alone, separated by commas");
  command->add_flag("--best-per-bits", options->best_per_bits,
                    "of each number of bits the lowest val_loss");
  command->add_option("--plot", options->plot,
                      "draw val_loss against bits per weight to this SVG file");
  CLI::Option* tsv = command->add_flag("--tsv", options->tsv, "lines as in results.tsv");
  command
      ->add_flag("--json", options->json,
                 "one JSON document, {results: [...]}: every column of results.tsv, and verified")
      ->excludes(tsv);
  command->callback([options, &exit_code] { exit_code = finish(results(*options)); });
}

}  // namespace bitloop::cli
