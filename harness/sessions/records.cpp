#include "harness/sessions/records.h"

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

Result<StoredSession> read_session(const journal::Journal& journal, std::string_view id) {
  BITLOOP_ASSIGN(head, journal.head(id));
  BITLOOP_ASSIGN(snapshot, journal.read(head));
  BITLOOP_ASSIGN(state, parse_state(snapshot.session_json));
  // Only the commit that started a test does not know its own id.
  for (TestRecord& test : state.tests) {
    if (!test.commit.empty()) continue;
    BITLOOP_ASSIGN(newest, journal.event(head));
    if (newest.kind == "test-started" &&
        newest.trailer("Bitloop-Test") == std::to_string(test.number))
      test.commit = head;
  }
  return StoredSession{std::move(state), std::move(snapshot.candidate), std::move(head)};
}

std::vector<ledger::Row> rows_of(const SessionState& state) {
  std::vector<ledger::Row> rows;
  for (const TestRecord& test : state.tests) {
    if (test.running()) continue;
    rows.push_back(test.row);
    rows.back().submitted = state.submitted == test.number;
  }
  return rows;
}

}  // namespace bitloop::sessions
