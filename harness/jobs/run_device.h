// What a run that goes on computes on.
#pragma once

#include <filesystem>

#include "harness/jobs/job.h"

namespace bitloop::jobs {

// A run that goes on does so on the kind of device that it began on, whatever "auto" would choose
// now: its checkpoints fit no other. Takes it from the first record `machine` of the folder's
// events.jsonl; without one nothing was trained, and the job stays as it is.
void pin_device(const std::filesystem::path& run_dir, Job& job);

}  // namespace bitloop::jobs
