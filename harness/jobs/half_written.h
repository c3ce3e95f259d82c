// What a killed process leaves in a run's folder of a file that it was about to replace
// (write_file_atomic, replace_file).
#pragma once

#include <filesystem>

namespace bitloop::jobs {

// Removes it. Requires: nobody writes in the folder any more.
void remove_half_written(const std::filesystem::path& run_dir);

}  // namespace bitloop::jobs
