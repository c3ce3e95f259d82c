#include "harness/jobs/set_aside.h"

#include <fmt/format.h>

#include "harness/base/fd.h"
#include "harness/jobs/cancelled.h"
#include "harness/jobs/find_record.h"
#include "harness/jobs/job.h"

namespace bitloop::jobs {
namespace {

namespace fs = std::filesystem;

bool has_checkpoint_file(const fs::path& output) {
  std::error_code error;
  for (fs::directory_iterator entry(output, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().filename().string().starts_with("checkpoint-") &&
        fs::is_regular_file(entry->symlink_status(ignored)) && entry->file_size(ignored) > 0)
      return true;
  }
  return false;
}

// The smallest number under which neither file was set aside.
int free_number(const fs::path& folder) {
  std::error_code ignored;
  int number = 1;
  while (fs::exists(folder / fmt::format("verdict-{}.json", number), ignored)) ++number;
  return number;
}

Status rename_if_there(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error && error != std::errc::no_such_file_or_directory)
    return std::unexpected(errno_error(from.string(), error.value()));
  return {};
}

}  // namespace

bool run_left_checkpoint(const fs::path& run_dir) {
  const auto job = read_job(run_dir / "job.json");
  if (!job || !job->checkpoints() || !has_checkpoint_file(run_dir / "output")) return false;
  return find_record(run_dir / "events.jsonl", "checkpoint", [](const auto& record) {
    return record.value("ok", nlohmann::ordered_json()) == true;
  });
}

Status set_verdict_aside(const fs::path& run_dir) {
  for (const char* name : {"attempts", "cancelled"}) {
    std::error_code error;
    fs::remove(run_dir / name, error);
    if (error) return std::unexpected(errno_error((run_dir / name).string(), error.value()));
  }
  const int number = free_number(run_dir);
  BITLOOP_TRY(
      rename_if_there(run_dir / "output.txt", run_dir / fmt::format("output-{}.txt", number)));
  BITLOOP_TRY(
      rename_if_there(run_dir / "verdict.json", run_dir / fmt::format("verdict-{}.json", number)));
  (void)sync_folder(run_dir);  // what a power failure takes back here has ended as it had
  return {};
}

}  // namespace bitloop::jobs
