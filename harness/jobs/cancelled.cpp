#include "harness/jobs/cancelled.h"

#include <fcntl.h>

#include "harness/base/fd.h"

namespace bitloop::jobs {
namespace {

constexpr const char* kMark = "cancelled";

}  // namespace

void mark_cancelled(const std::filesystem::path& run_dir) {
  (void)open_file(run_dir / kMark, O_WRONLY | O_CREAT);
}

bool run_is_cancelled(const std::filesystem::path& run_dir) {
  std::error_code ignored;
  return std::filesystem::exists(run_dir / kMark, ignored);
}

}  // namespace bitloop::jobs
