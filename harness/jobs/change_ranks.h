// A run that goes on may do so in another number of processes.
#pragma once

#include <cstdint>
#include <filesystem>

#include "harness/base/result.h"

namespace bitloop::jobs {

// Changes train.ranks in the folder's job.json, atomically. Requires: nobody runs it. Errors:
// "bad_preset" (ranks that do not divide the batch), those of read_file and write_file_atomic.
Status change_ranks(const std::filesystem::path& run_dir, int64_t ranks);

}  // namespace bitloop::jobs
