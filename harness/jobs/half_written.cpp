#include "harness/jobs/half_written.h"

#include <vector>

namespace bitloop::jobs {

void remove_half_written(const std::filesystem::path& run_dir) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(run_dir, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().filename().string().find(".tmp-") != std::string::npos)
      found.push_back(entry->path());
  for (const std::filesystem::path& path : found) std::filesystem::remove(path, error);
}

}  // namespace bitloop::jobs
