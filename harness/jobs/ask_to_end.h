// Asking the supervisor of a run to end it, also one that another process started.
#pragma once

#include <filesystem>

namespace bitloop::jobs {

// Sends SIGTERM to the supervisor that holds the folder, by the process id that it wrote into
// supervisor.lock. False when none lives, or it has not written its id yet.
bool ask_supervisor_to_end(const std::filesystem::path& run_dir);

}  // namespace bitloop::jobs
