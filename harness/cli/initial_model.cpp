#include "harness/cli/initial_model.h"

#include "harness/base/paths.h"
#include "harness/base/temporary_folder.h"
#include "harness/jobs/run_now.h"
#include "harness/sessions/job.h"
#include "harness/sessions/report.h"

namespace bitloop::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "bitloop-init-";
constexpr std::string_view kSentence = "init_from: ";  // what the trainer's begins with
constexpr int kTimeoutMs = 120'000;

}  // namespace

Status try_initial_model(const Target& target, bool allow_degraded) {
  if (!target.task.initial_model.is_object()) return {};
  std::error_code no_folder;
  const fs::path parent = fs::temp_directory_path(no_folder);
  if (no_folder) return {};
  TemporaryFolder::remove_abandoned(parent, kPrefix, jobs::run_is_alive);
  const auto folder = TemporaryFolder::make(parent, kPrefix);
  if (!folder) return {};
  // With a candidate that does nothing: the target's own is the run's business.
  const auto job = sessions::make_job({"check", "local", 0, "return {}", target.task, target.preset,
                                       sessions::default_seed(target.task, target.preset),
                                       share_dir(), allow_degraded});
  const jobs::Verdict verdict = jobs::run_now(folder->path(), job, kTimeoutMs);
  const size_t at = verdict.message.find(kSentence);
  if (verdict.status != sessions::kInfrastructure || at == std::string::npos) return {};
  return fail("bad_weights", "--init-from: " + verdict.message.substr(at + kSentence.size()));
}

}  // namespace bitloop::cli
