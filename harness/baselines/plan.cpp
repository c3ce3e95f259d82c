#include "harness/baselines/plan.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "harness/sessions/job.h"

namespace bitloop::baselines {

size_t Plan::left() const {
  return static_cast<size_t>(
      std::ranges::count_if(runs, [](const PlannedRun& run) { return !run.done; }));
}

Plan make_plan(const tasks::Task& task, const nlohmann::json& preset,
               std::vector<Candidate> candidates, int64_t first_seed, int seeds) {
  std::vector<int64_t> list;
  for (int i = 0; i < seeds; ++i) list.push_back(first_seed + i);
  return make_plan(task, preset, std::move(candidates), std::move(list));
}

Plan make_plan(const tasks::Task& task, const nlohmann::json& preset,
               std::vector<Candidate> candidates, std::vector<int64_t> seeds) {
  Plan plan{task, preset, std::move(candidates), std::move(seeds), {}};
  for (const int64_t seed : plan.seeds)
    for (size_t i = 0; i < plan.candidates.size(); ++i)
      plan.runs.push_back(
          {i, seed, sessions::fingerprint(plan.candidates[i].text, task, preset, seed), "", 0});
  return plan;
}

bool is_final(const sessions::TestRecord& record, const std::string& version) {
  if (record.status == "ok") return true;
  constexpr std::array<std::string_view, 3> kOwnFailures = {"script_error", "rejected", "diverged"};
  return record.row.version == version &&
         std::ranges::find(kOwnFailures, record.status) != kOwnFailures.end();
}

void take_records(Plan& plan, const std::string& session,
                  std::span<const sessions::TestRecord> records, const std::string& version) {
  for (PlannedRun& run : plan.runs) {
    if (run.done && run.done->status == "ok") continue;
    for (const sessions::TestRecord& record : records) {
      if (record.fingerprint != run.fingerprint) continue;
      if (!record.running() && !is_final(record, version)) continue;
      // The first score stands: it is not improved by training again.
      run.session = session;
      run.test = record.number;
      run.done.reset();
      if (!record.running()) run.done = record;
      if (record.status == "ok") break;
    }
  }
}

}  // namespace bitloop::baselines
