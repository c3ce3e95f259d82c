// Is the journal whole? What `git fsck` would find and a little more, without git and without
// changing anything; also while another process writes there.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::journal {

struct JournalHealth {
  std::vector<std::string> sessions;  // sorted; those that could be read to their first commit
  size_t commits = 0;                 // of all sessions
  size_t loose_objects = 0, packs = 0;
  std::vector<std::string> problems;             // one sentence each
  std::vector<std::filesystem::path> leftovers;  // locks and half-written objects
};

// Reads every session's reference and every object that it reaches; each content is compared with
// its name. Errors: "file_not_found" (no journal there), "journal_unreadable".
Result<JournalHealth> verify(const std::filesystem::path& workspace);

}  // namespace bitloop::journal
