#include "harness/sessions/records.h"

#include "harness/journal/journal.h"

namespace bitloop::sessions {

Result<std::vector<TestRecord>> read_records(const std::filesystem::path& workspace,
                                             std::string_view session) {
  std::error_code ignored;
  if (!std::filesystem::exists(workspace / "journal.git", ignored)) return {};
  BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(workspace));
  const auto head = journal->head(session);
  if (!head && head.error().code == "unknown_session") return {};
  if (!head) return std::unexpected(head.error());
  BITLOOP_ASSIGN(snapshot, journal->read(*head));
  BITLOOP_ASSIGN(state, parse_state(snapshot.session_json));
  return state.tests;
}

}  // namespace bitloop::sessions
