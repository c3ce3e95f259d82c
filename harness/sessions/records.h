// The runs that a workspace's journal tells of, read without owning the workspace: also while
// another process writes there.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "harness/sessions/state.h"

namespace bitloop::sessions {

// The tests of a session, oldest first; none where the workspace or the session does not exist yet.
// Errors: "journal_unreadable".
Result<std::vector<TestRecord>> read_records(const std::filesystem::path& workspace,
                                             std::string_view session);

}  // namespace bitloop::sessions
