// What an agent is told of what was tried before: decisions, warnings, the summary; sessions that
// begin where a test of another ended; tags.
#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "harness/journal/diff.h"
#include "harness/sessions/decision.h"
#include "harness/sessions/service_impl.h"
#include "harness/sessions/summary.h"

namespace bitloop::sessions {
namespace {

constexpr size_t kMaxTags = 64;
constexpr size_t kMaxTagBytes = 40;
constexpr size_t kDiffLines = 10;

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTagBytes && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string tag_words(const Tag& tag) {
  return tag.test ? fmt::format("{} of test #{}", tag.tag, *tag.test) : tag.tag;
}

// The newest test of this very candidate.
std::optional<int64_t> tested_as(const SessionState& state, std::string_view candidate) {
  const std::string exact = digest_of(candidate).exact;
  for (const TestRecord& test : state.tests | std::views::reverse)
    if (test.digest.exact == exact && test.status != kCancelled && test.status != kInfrastructure)
      return test.number;
  return {};
}

}  // namespace

const tasks::BaselineTable& Service::Impl::table_of(const SessionState& state) const {
  static const tasks::BaselineTable kNothing;
  const auto found = std::ranges::find(tasks, state.task, &tasks::Task::name);
  return found == tasks.end() ? kNothing : found->measured;
}

Result<SessionState> Service::Impl::state_of(std::string_view id) const {
  BITLOOP_ASSIGN(session, hold(id));
  return *session->state;
}

Result<Service::Impl::Start> Service::Impl::start_of(const NewSession& request) const {
  if (request.from.empty()) {
    BITLOOP_TRY(find_task(request.task));
    BITLOOP_ASSIGN(text, files.quantizer(request.quantizer));
    return Start{text, request.task, request.quantizer, ""};
  }
  const size_t slash = request.from.find('/');
  const std::string_view digits =
      slash == std::string::npos ? "" : std::string_view(request.from).substr(slash + 1);
  if (digits.empty() || digits.size() > 9 ||
      digits.find_first_not_of("0123456789") != std::string_view::npos)
    return fail("invalid_value",
                fmt::format("`from` must name a session and one of its tests, as in "
                            "brave-otter-1f3a/2, not '{}'.",
                            request.from.substr(0, 80)));
  const std::string_view parent = std::string_view(request.from).substr(0, slash);
  BITLOOP_ASSIGN(state, state_of(parent));
  // The session of another token is not there for this one.
  if (state.token != request.token) return std::unexpected(session_not_found(parent));
  BITLOOP_ASSIGN(test, state.find_test(std::stoll(std::string(digits))));
  Start start;
  start.task = test->task.empty() ? state.task : test->task;
  start.quantizer = test->quantizer.empty() ? state.quantizer : test->quantizer;
  start.forked_from = fmt::format("{}/{}", state.id, test->number);
  if (!request.task.empty() && request.task != start.task)
    return fail("invalid_value",
                fmt::format("Test {} is one of the task '{}'; leave `task` out, or give that.",
                            start.forked_from, start.task));
  BITLOOP_ASSIGN(snapshot, journal->read(test->commit));
  BITLOOP_ASSIGN(document, editor::Document::parse(snapshot.candidate));
  if (document.regions().empty())
    return fail(
        "invalid_value",
        fmt::format("The candidate of {} has no BEGIN EDITABLE line, so nothing in it could "
                    "be edited; begin from a quantizer.",
                    start.forked_from));
  start.candidate = std::move(snapshot.candidate);
  return start;
}

Result<nlohmann::ordered_json> Service::summary(std::string_view id) const {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  const SessionState state = *session->state;
  const std::string text = session->document->text();
  CandidateNow candidate;
  candidate.commit = session->head;
  candidate.tests_left = impl_->tests_left(*session);
  session.lock().unlock();  // the journal is read below, and commits do not change

  const tasks::BaselineTable& table = impl_->table_of(state);
  const auto diff = [this](const std::string& before, const std::string& after) {
    return journal::unified_diff(before, after, std::string(kCandidate));
  };
  const auto text_at = [this](const std::string& commit) -> Result<std::string> {
    BITLOOP_ASSIGN(snapshot, impl_->journal->read(commit));
    return std::move(snapshot.candidate);
  };
  candidate.same_as = tested_as(state, text);
  if (const auto best = best_of(state.tests, table)) {
    BITLOOP_ASSIGN(test, state.find_test(best->test));
    // Of two tests of one text the better name is the best's.
    BITLOOP_ASSIGN(best_text, text_at(test->commit));
    BITLOOP_ASSIGN(changes, diff(best_text, text));
    if (changes.empty()) candidate.same_as = best->test;
    candidate.against_best = diff_summary(changes, kDiffLines);
  }
  const auto diff_of = [&](const TestRecord& test) -> Result<std::string> {
    std::string before;
    if (test.number > 1) {
      before = state.tests[static_cast<size_t>(test.number - 2)].commit;
    } else {
      BITLOOP_ASSIGN(history, impl_->journal->history(state.id));
      before = history.front().id;
    }
    BITLOOP_ASSIGN(old_text, text_at(before));
    BITLOOP_ASSIGN(new_text, text_at(test.commit));
    return diff(old_text, new_text);
  };
  const auto task = impl_->find_task(state.task);
  return summarize(state, table,
                   "The lowest val_loss at the fewest bits_per_weight. " +
                       (task ? task->description : std::string()),
                   candidate, diff_of);
}

Result<TagsView> Service::Impl::change_tags(Session& session, const Tag& tag, bool add,
                                            const Terms& terms) {
  const char* kind = add ? "tag" : "untag";
  BITLOOP_ASSIGN(before, done_before(session, kind, terms));
  if (before) {
    BITLOOP_ASSIGN(then, as_of(*before));
    return TagsView{then->head, then->state->tags};
  }
  BITLOOP_TRY(check_writable(session, terms));
  SessionState state = *session.state;
  const auto found = std::ranges::find(state.tags, tag);
  if (add && found != state.tags.end()) return TagsView{session.head, state.tags};
  if (add) {
    if (!is_tag(tag.tag))
      return fail("invalid_value",
                  fmt::format("A tag is 1 to {} letters, digits, '.', '_' and '-'.", kMaxTagBytes));
    if (tag.test) BITLOOP_TRY(state.find_test(*tag.test));
    if (state.tags.size() >= kMaxTags)
      return fail("too_many_tags",
                  fmt::format("A session has at most {} tags; take one away first.", kMaxTags));
    state.tags.push_back(tag);
  } else {
    if (found == state.tags.end())
      return fail("tag_not_found",
                  fmt::format("There is no tag '{}' here; GET /v1/sessions/{} lists them.",
                              tag_words(tag).substr(0, 80), state.id));
    state.tags.erase(found);
  }
  journal::Event event;
  event.kind = kind;
  event.sentence = fmt::format("{} {}", add ? "Tagged:" : "Took away the tag", tag_words(tag));
  event.trailers = {{"Bitloop-Tag", tag.tag},
                    {"Bitloop-Test", tag.test ? std::to_string(*tag.test) : ""}};
  RequestKeys::mark(event, terms.key, terms.request);
  BITLOOP_TRY(commit(session, std::move(event), std::move(state), *session.document));
  return TagsView{session.head, session.state->tags};
}

Result<TagsView> Service::tag(std::string_view id, const Tag& tag, const Terms& terms) {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  return impl_->change_tags(*session, tag, true, terms);
}

Result<TagsView> Service::untag(std::string_view id, const Tag& tag, const Terms& terms) {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  return impl_->change_tags(*session, tag, false, terms);
}

}  // namespace bitloop::sessions
