#include "harness/baselines/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "harness/base/text.h"
#include "harness/sessions/state.h"

namespace bitloop::baselines {
namespace {

bool has_score(const ledger::Row& row) {
  return row.status == "ok" && row.val_loss && row.bits_per_weight;
}

std::string name_of(const ledger::Row& row) {
  if (row.type == sessions::kBaselineType) return row.quantizer;
  const std::string& first = row.type == sessions::kLocalType ? row.quantizer : row.session;
  return fmt::format("{}-{}", first, row.test.value_or(0));
}

}  // namespace

std::vector<ledger::Row> best_per_bits(const std::vector<ledger::Row>& rows) {
  std::vector<ledger::Row> scored;
  for (const ledger::Row& row : rows)
    if (has_score(row)) scored.push_back(row);
  std::ranges::stable_sort(scored, {}, [](const ledger::Row& row) {
    return std::tuple(row.task, *row.bits_per_weight);
  });
  std::vector<ledger::Row> best;
  double first = 0;  // bits of the group that best.back() stands for
  for (const ledger::Row& row : scored) {
    const bool same =
        !best.empty() && best.back().task == row.task && *row.bits_per_weight - first < kSameBits;
    if (!same) {
      best.push_back(row);
      first = *row.bits_per_weight;
    } else if (*row.val_loss < *best.back().val_loss) {
      best.back() = row;
    }
  }
  return best;
}

Result<Summary> summarize_rows(const std::vector<ledger::Row>& rows) {
  // Tokens keep a short run of a baseline apart from a whole one.
  std::map<std::pair<std::string, int64_t>, std::vector<const ledger::Row*>> groups;
  std::set<std::string> tasks;
  size_t runs = 0;
  for (const ledger::Row& row : rows) {
    if (!has_score(row)) continue;
    groups[{name_of(row), row.tokens.value_or(0)}].push_back(&row);
    tasks.insert(row.task);
    ++runs;
  }
  if (tasks.size() > 1)
    return fail("several_tasks",
                fmt::format("The results are of several tasks ({}), whose losses can't be "
                            "compared: choose one with --task.",
                            join({tasks.begin(), tasks.end()}, ", ")));
  Summary summary;
  summary.task = tasks.empty() ? "" : *tasks.begin();
  summary.title = fmt::format("bitloop, task {}: {} result(s)", summary.task, runs);
  for (const auto& [key, group] : groups) {
    Entry entry;
    entry.name = key.first;
    entry.tokens = group.front()->tokens;
    entry.bits_per_weight = group.front()->bits_per_weight;
    std::vector<double> losses;
    for (const ledger::Row* row : group) {
      losses.push_back(*row->val_loss);
      entry.seeds.push_back({row->seed.value_or(0), row->status, row->val_loss});
    }
    entry.val_loss = spread_of(losses);
    summary.entries.push_back(std::move(entry));
  }
  rank(summary.entries);
  return summary;
}

}  // namespace bitloop::baselines
