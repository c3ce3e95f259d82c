#include "harness/cli/follow.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "harness/base/paths.h"
#include "harness/base/temporary_folder.h"
#include "harness/jobs/run_now.h"
#include "harness/sessions/job.h"

namespace bitloop::cli {
namespace {

constexpr std::string_view kPrefix = "bitloop-rank-";
constexpr int64_t kGraceS = 60;  // beyond the deadline, which the supervisor itself keeps

}  // namespace

Status join_ranks(const RankEnvironment& environment, const Overrides& overrides,
                  bool allow_degraded, nlohmann::json& preset) {
  if (overrides.ranks > 1)
    return fail("wrong_usage",
                fmt::format("--ranks starts processes on this machine, but this one is rank {} of "
                            "{} already, says its environment: leave out one of the two",
                            environment.rank, environment.count));
  if (!allow_degraded)
    return fail("wrong_usage",
                "ranks on several machines need the network, which the jail does not give: add "
                "--allow-degraded to run with the network of this machine open to the trainer "
                "until the candidate is loaded (docs/security.md)");
  preset["train"]["ranks"] = environment.count;
  if (preset["train"]["batch"].get<int64_t>() % environment.count != 0)
    return fail("bad_preset",
                fmt::format("{} ranks must divide train.batch ({} sequences a step)",
                            environment.count, preset["train"]["batch"].get<int64_t>()));
  preset["ranks"] = environment.job_member();
  return {};
}

Result<Followed> follow(const Target& target, int64_t seed, bool allow_degraded,
                        const std::atomic<bool>& interrupted) {
  std::error_code no_folder;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(no_folder);
  if (no_folder) return fail("io_error", no_folder.message());
  TemporaryFolder::remove_abandoned(parent, kPrefix, jobs::run_is_alive);
  BITLOOP_ASSIGN(folder, TemporaryFolder::make(parent, kPrefix));
  const sessions::JobRequest request{"train",       "rank",        0,    target.candidate,
                                     target.task,   target.preset, seed, share_dir(),
                                     allow_degraded};
  const int64_t deadline_s = target.preset["limits"]["deadline_s"].get<int64_t>() + kGraceS;
  const auto timeout_ms =
      static_cast<int>(std::min<int64_t>(deadline_s * 1000, std::numeric_limits<int>::max()));
  const jobs::Verdict verdict =
      jobs::run_now(folder.path(), sessions::make_job(request), timeout_ms, &interrupted);
  return Followed{verdict.status, verdict.message};
}

}  // namespace bitloop::cli
