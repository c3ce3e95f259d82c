// The runs that a workspace's journal tells of, read without owning the workspace: also while
// another process writes there.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "harness/journal/journal.h"
#include "harness/sessions/state.h"

namespace bitloop::sessions {

// The tests of a session, oldest first; none where the workspace or the session does not exist yet.
// Errors: "journal_unreadable".
Result<std::vector<TestRecord>> read_records(const std::filesystem::path& workspace,
                                             std::string_view session);

// A session as its newest commit has it.
struct StoredSession {
  SessionState state;
  std::string candidate;
  std::string head;  // that commit
};
// Errors: those of Journal::head and Journal::read; "journal_unreadable".
Result<StoredSession> read_session(const journal::Journal& journal, std::string_view id);

// The ledger as a session's state tells it: a row for each test that has ended, in their order.
std::vector<ledger::Row> rows_of(const SessionState& state);

}  // namespace bitloop::sessions
