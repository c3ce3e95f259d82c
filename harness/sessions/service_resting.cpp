// Sessions that nobody asks for rest: what of them stays in memory, and how the rest comes back.
#include <algorithm>

#include "harness/sessions/service_impl.h"

namespace bitloop::sessions {
namespace {

// In a test-started commit the session cannot know that commit's own id; the history does.
Status fill_commits(const journal::Journal& journal, SessionState& state) {
  const auto unknown = [](const TestRecord& test) { return test.commit.empty(); };
  if (std::none_of(state.tests.begin(), state.tests.end(), unknown)) return {};
  BITLOOP_ASSIGN(history, journal.history(state.id));
  for (TestRecord& test : state.tests)
    for (const journal::Commit& commit : history)
      if (commit.kind == "test-started" &&
          commit.trailer("Bitloop-Test") == std::to_string(test.number))
        test.commit = commit.id;
  return {};
}

// Tests of a version that wrote no digests: their candidates are read again.
void fill_digests(const journal::Journal& journal, SessionState& state) {
  if (is_of_command_line(state.type)) return;  // agents are not reminded of these
  for (TestRecord& test : state.tests) {
    if (!test.digest.exact.empty()) continue;
    if (const auto snapshot = journal.read(test.commit))
      test.digest = digest_of(snapshot->candidate);
  }
}

Result<editor::Document> parse_candidate(const SessionState& state, std::string_view text) {
  if (is_of_command_line(state.type))
    return editor::Document::read_only(text, std::string(kCandidate));
  return editor::Document::parse(text);
}

}  // namespace

FileInfo file_info(const editor::Document& document) {
  return FileInfo{document.path(), document.line_count(), document.editable()};
}

void Service::Impl::add(const std::shared_ptr<Session>& session) {
  const std::lock_guard guard(sessions_mutex);
  sessions[session->id] = session;
  const SessionState& state = *session->state;
  if (!state.created_key.empty())
    created_under[creation_digest(state.token, state.created_key)] = session;
}

Result<std::shared_ptr<Session>> Service::Impl::load(const std::string& head) const {
  BITLOOP_ASSIGN(snapshot, journal->read(head));
  BITLOOP_ASSIGN(state, parse_state(snapshot.session_json));
  BITLOOP_TRY(fill_commits(*journal, state));
  fill_digests(*journal, state);
  BITLOOP_ASSIGN(document, parse_candidate(state, snapshot.candidate));
  return std::make_shared<Session>(std::move(state), std::move(document), head);
}

Result<HeldSession> Service::Impl::hold(std::string_view id) const {
  BITLOOP_ASSIGN(session, find(id));
  return hold(std::move(session));
}

Result<HeldSession> Service::Impl::hold(std::shared_ptr<Session> session) const {
  std::unique_lock guard(session->mutex);
  BITLOOP_TRY(wake(*session));
  return HeldSession(std::move(session), std::move(guard));
}

Status Service::Impl::wake(Session& session) const {
  session.used = Session::Clock::now();
  if (!session.rests()) return {};
  BITLOOP_ASSIGN(there, load(session.head));
  session.document = std::move(there->document);
  session.state = std::move(there->state);
  session.card.reset();
  return {};
}

void Service::Impl::rest(Session& session) {
  if (session.rests() || session.state->running_test() != nullptr) return;
  session.card = std::make_unique<SessionCard>(*session.state);
  // Keys are few (forget_oldest_keys) and dear to read again; what is closed is sent no more.
  if (session.state->closed) session.keys.reset();
  session.document.reset();
  session.state.reset();
}

size_t Service::Impl::rest_unused(Session::Clock::time_point before) const {
  size_t rested = 0;
  for (const auto& session : all()) {
    const std::unique_lock idle(session->mutex, std::try_to_lock);
    if (!idle || session->rests() || session->used >= before) continue;
    rest(*session);
    if (session->rests()) ++rested;
  }
  return rested;
}

size_t Service::awake() const {
  return static_cast<size_t>(std::ranges::count_if(impl_->all(), [](const auto& session) {
    const std::lock_guard guard(session->mutex);
    return !session->rests();
  }));
}

ListedSession Service::Impl::as_listed(const Session& session) const {
  ListedSession listed;
  listed.id = session.id;
  listed.token = session.token;
  listed.tests_left = tests_left(session);
  if (session.rests()) {
    const SessionCard& card = *session.card;
    listed.task = card.task;
    listed.agent = card.agent;
    listed.state = card.closed ? "closed" : "open";  // where a test runs, nothing rests
    listed.created = card.created;
    listed.tags = card.tags;
  } else {
    const SessionState& state = *session.state;
    listed.task = state.task;
    listed.agent = state.agent;
    listed.state = word_for(state);
    listed.created = state.created;
    listed.tags = state.tags;
  }
  return listed;
}

}  // namespace bitloop::sessions
