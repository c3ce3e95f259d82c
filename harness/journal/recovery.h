// Does again what the write-ahead log says was done, where the disk does not have it: after a power
// failure objects may be gone, cut or full of zeros, and branches where they were before.
#pragma once

#include <cstddef>
#include <filesystem>

#include "harness/base/result.h"

namespace bitloop::journal {

// The folder of the log in a repository.
inline constexpr const char* kLogFolder = "write-ahead";

// How many objects and branches had to be written again; 0 as a rule, also after kill -9. May be
// called again after it failed or was killed. Requires: nobody writes to the repository. Errors:
// "journal_unreadable" (the log), "journal_failed", "io_error", "disk_full".
Result<size_t> recover(const std::filesystem::path& repository);

}  // namespace bitloop::journal
