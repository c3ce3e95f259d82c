// The mark of a run that is to end for good. A supervisor of a run that can go on from checkpoints
// takes a signal without it for the machine's, which is being shut down.
#pragma once

#include <filesystem>

namespace bitloop::jobs {

// Before the supervisor is asked to end. A mark that can't be made is passed over: then the run
// goes on later.
void mark_cancelled(const std::filesystem::path& run_dir);
bool run_is_cancelled(const std::filesystem::path& run_dir);

}  // namespace bitloop::jobs
