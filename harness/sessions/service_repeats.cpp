// Requests that come twice under one Idempotency-Key: the answer is made again from the commit of
// the event, so that it is the same in the next process.
#include <fmt/format.h>

#include "harness/base/text.h"
#include "harness/editor/view.h"
#include "harness/sessions/report.h"
#include "harness/sessions/service_impl.h"

namespace bitloop::sessions {

Result<std::optional<std::string>> Service::Impl::done_before(Session& session,
                                                              std::string_view kind,
                                                              const Terms& terms) const {
  if (terms.key.empty()) return std::nullopt;
  if (!session.keys) {
    BITLOOP_ASSIGN(history, journal->history(session.state->id));
    session.keys = std::make_unique<RequestKeys>(history);
    forget_oldest_keys(session.state->id);
  }
  return session.keys->find(kind, terms.key, terms.request);
}

void Service::Impl::forget_oldest_keys(const std::string& newest) const {
  constexpr size_t kMostSessions = 256;  // with an agent at work in each
  std::string oldest;
  {
    const std::lock_guard guard(keyed_mutex);
    keyed.push_back(newest);
    if (keyed.size() <= kMostSessions) return;
    oldest = std::move(keyed.front());
    keyed.pop_front();
  }
  const auto session = find(oldest);
  if (!session || oldest == newest) return;
  const std::unique_lock idle((*session)->mutex, std::try_to_lock);
  if (idle) {
    (*session)->keys.reset();
  } else {  // at work: its turn comes again
    const std::lock_guard guard(keyed_mutex);
    keyed.push_back(std::move(oldest));
  }
}

Result<std::unique_ptr<Session>> Service::Impl::as_of(const std::string& commit) const {
  BITLOOP_ASSIGN(snapshot, journal->read(commit));
  BITLOOP_ASSIGN(state, parse_state(snapshot.session_json));
  BITLOOP_ASSIGN(document, editor::Document::parse(snapshot.candidate));
  for (TestRecord& test : state.tests)
    if (test.commit.empty()) test.commit = commit;  // the test that this very commit started
  auto session = std::make_unique<Session>(std::move(state), std::move(document), commit);
  session->is_past = true;
  return session;
}

Result<EditAnswer> Service::Impl::edit_again(const Session& session,
                                             const std::string& commit) const {
  BITLOOP_ASSIGN(event, journal->find(session.state->id, commit));
  BITLOOP_ASSIGN(then, as_of(commit));
  const editor::Document& document = *then->document;
  EditAnswer answer = whole_answer(
      *then, fmt::format("OK: {}. Editable range: {}.", event.sentence, document.editable_text()));
  if (event.kind != "edit") return answer;
  for (const journal::Trailer& trailer : event.trailers)
    if (trailer.key == "Bitloop-Warning") answer.warnings.push_back(trailer.value);
  const std::string region = event.trailer("Bitloop-Region");
  for (size_t i = 0; i < document.regions().size(); ++i)
    if (single_line(document.regions()[i].name) == region)
      answer.view = editor::view_region(document, i);
  return answer;
}

Result<TestView> Service::Impl::test_again(const std::string& commit) const {
  BITLOOP_ASSIGN(then, as_of(commit));
  return describe(*then, then->state->tests.back());
}

Result<TestView> Service::Impl::submission_again(const std::string& commit) const {
  BITLOOP_ASSIGN(then, as_of(commit));
  BITLOOP_ASSIGN(test, then->state->find_test(then->state->submitted.value_or(0)));
  TestView view = describe(*then, *test);
  view.message = submit_sentence(test->number);
  return view;
}

Result<nlohmann::ordered_json> Service::Impl::check_again(const Session& session,
                                                          const std::string& commit) const {
  BITLOOP_ASSIGN(event, journal->find(session.state->id, commit));
  auto document =
      nlohmann::ordered_json::parse(event.trailer("Bitloop-Answer"), nullptr, /*exceptions=*/false);
  if (document.is_discarded())
    return fail("journal_unreadable", fmt::format("The answer in commit {} is damaged.", commit));
  return document;
}

ShortDigest Service::Impl::creation_digest(const std::string& token, const std::string& key) {
  return short_digest(token + "\n" + key);
}

Result<std::optional<SessionView>> Service::Impl::created_before(const std::string& token,
                                                                 const Terms& terms) const {
  std::string id;
  {
    const std::lock_guard guard(sessions_mutex);
    const auto found = created_under.find(creation_digest(token, terms.key));
    if (found == created_under.end()) return std::nullopt;
    id = found->second->id;
  }
  BITLOOP_ASSIGN(history, journal->history(id));
  BITLOOP_ASSIGN(then, as_of(history.front().id));
  if (then->state->created_request != journal::content_id(terms.request))
    return std::unexpected(key_reused());
  return describe(*then);
}

}  // namespace bitloop::sessions
