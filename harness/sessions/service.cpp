#include "harness/sessions/service.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/text.h"
#include "harness/editor/view.h"
#include "harness/journal/diff.h"
#include "harness/sessions/decision.h"
#include "harness/sessions/job.h"
#include "harness/sessions/report.h"
#include "harness/sessions/service_impl.h"
#include "harness/tasks/preset.h"

namespace bitloop::sessions {
namespace {

constexpr size_t kMaxDescriptionBytes = 4096;
constexpr size_t kMaxAgentBytes = 200;

// "OK: Replaced lines 14..26 with 9 line(s) in candidate.lua. Editable range: …" as a commit's
// sentence.
std::string commit_sentence(std::string_view message) {
  if (message.starts_with("OK: ")) message.remove_prefix(4);
  return std::string(message.substr(0, message.find(". Editable range")));
}

Error missing(const char* op, const char* field) {
  return Error{"missing_field", fmt::format("The op '{}' needs the field '{}'.", op, field)};
}

Result<editor::Edit> apply(const editor::Document& document, const EditRequest& request) {
  if (request.op == "replace") {
    if (!request.start_line) return std::unexpected(missing("replace", "start_line"));
    if (!request.end_line) return std::unexpected(missing("replace", "end_line"));
    if (!request.content) return std::unexpected(missing("replace", "content"));
    return editor::replace(document, *request.start_line, *request.end_line, *request.content);
  }
  if (request.op == "insert") {
    if (!request.after_line) return std::unexpected(missing("insert", "after_line"));
    if (!request.content) return std::unexpected(missing("insert", "content"));
    return editor::insert(document, *request.after_line, *request.content);
  }
  if (request.op == "rewrite") {
    if (!request.region) return std::unexpected(missing("rewrite", "region"));
    if (!request.content) return std::unexpected(missing("rewrite", "content"));
    return editor::rewrite(document, *request.region, *request.content);
  }
  if (request.op == "str_replace") {
    if (!request.old_str) return std::unexpected(missing("str_replace", "old_str"));
    if (!request.new_str) return std::unexpected(missing("str_replace", "new_str"));
    return editor::str_replace(document, *request.old_str, *request.new_str);
  }
  return fail("unknown_op",
              fmt::format("There is no op '{}'; use replace, insert, rewrite or str_replace.",
                          request.op.substr(0, 60)));
}

// A field that belongs to another op is a mistake of the client's, not to be passed over.
Status check_op_fields(const EditRequest& request) {
  const bool lines = request.op == "replace";
  const auto refuse = [&](const char* field) {
    return fail("unknown_field", fmt::format("The op '{}' takes no field '{}'; leave it out.",
                                             request.op.substr(0, 60), field));
  };
  if (request.start_line && !lines) return refuse("start_line");
  if (request.end_line && !lines) return refuse("end_line");
  if (request.after_line && request.op != "insert") return refuse("after_line");
  if (request.region && request.op != "rewrite") return refuse("region");
  if (request.content && request.op == "str_replace") return refuse("content");
  if (request.old_str && request.op != "str_replace") return refuse("old_str");
  if (request.new_str && request.op != "str_replace") return refuse("new_str");
  return {};
}

}  // namespace

Error session_not_found(std::string_view id) {
  return {"session_not_found",
          fmt::format("There is no session '{}'; GET /v1/sessions lists them.", id.substr(0, 80))};
}

Status check_expected(const Terms& terms, const std::string& head) {
  if (terms.expected.empty()) return {};
  if (std::ranges::any_of(split(terms.expected, ','),
                          [&](const auto& tag) { return tag == "*" || tag == head; }))
    return {};
  return fail("commit_mismatch",
              fmt::format("The session is at commit {}, not at {}; view the file and try again.",
                          head, terms.expected.substr(0, 60)));
}

Result<std::shared_ptr<Session>> Service::Impl::find(std::string_view id) const {
  const std::lock_guard guard(sessions_mutex);
  const auto found = sessions.find(id);
  if (found == sessions.end()) return std::unexpected(session_not_found(id));
  return found->second;
}

std::vector<std::shared_ptr<Session>> Service::Impl::all() const {
  const std::lock_guard guard(sessions_mutex);
  std::vector<std::shared_ptr<Session>> list;
  for (const auto& [id, session] : sessions) list.push_back(session);
  return list;
}

Status Service::Impl::check_writable(const Session& session, const Terms& terms) const {
  if (is_of_command_line(session.state->type))
    return fail("session_read_only",
                fmt::format("Session {} holds the command line's runs and can only be read "
                            "here; create a session of your own.",
                            session.state->id));
  BITLOOP_TRY(check_expected(terms, session.head));
  if (session.state->closed)
    return fail("session_closed",
                fmt::format("Session {} is closed; create a new one to go on.", session.state->id));
  return {};
}

Status Service::Impl::check_changeable(const Session& session, const Terms& terms) const {
  BITLOOP_TRY(check_writable(session, terms));
  if (const TestRecord* test = session.state->running_test())
    return fail(
        "test_running",
        fmt::format("Test #{} is running; wait for it (GET …/tests/{}?wait=30), then try again.",
                    test->number, test->number));
  return {};
}

Status Service::Impl::commit(Session& session, journal::Event event, SessionState state,
                             editor::Document document) {
  state.tests_elsewhere = tests_elsewhere(state);
  event.candidate = document.text();
  event.session_json = render_state(state);
  auto ticket = feeds.take();  // goes at the end: who hears of the commit finds the state with it
  event.trailers.push_back({Feeds::kTrailer, std::to_string(ticket.sequence())});
  BITLOOP_ASSIGN(id, journal->append(state.id, event, session.head));
  ticket.published(state.id, id);
  *session.state = std::move(state);
  session.document = std::move(document);
  session.head = std::move(id);
  if (session.keys) session.keys->add(event.kind, event.trailers, session.head);
  session.used = Session::Clock::now();
  session.changed.notify_all();
  return {};
}

TestView Service::Impl::describe(const Session& session, const TestRecord& test) const {
  TestView view;
  view.test = test.number;
  view.status = test.status;
  view.commit = test.commit;
  view.seed = test.seed;
  view.tests_left = tests_left(session);
  const bool local = is_of_command_line(session.state->type);
  if (test.running()) {
    view.message = fmt::format("[Test #{}] running", test.number);
  } else {
    view.metrics = ledger::metrics_json(test.row);
    view.message =
        local ? test.stages : test_headline(test.number, view.tests_left) + "\n" + test.stages;
    if (!local) {
      const Decision decision = decide(session.state->tests, test.number, table_of(*session.state));
      view.decision = to_json(decision);
      view.message += "\n" + decision_line(decision);
    }
  }
  return view;
}

SessionView Service::Impl::describe(const Session& session) const {
  const SessionState& state = *session.state;
  SessionView view;
  view.id = state.id;
  view.task = state.task;
  view.quantizer = state.quantizer;
  view.agent = state.agent;
  view.token = state.token;
  view.state = word_for(state);
  view.created = state.created;
  view.commit = session.head;
  view.tests_total = state.tests_total;
  view.tests_left = tests_left(session);
  view.submitted = state.submitted;
  // The command line's runs are of several tasks: there is no best of them.
  if (!is_of_command_line(state.type))
    if (const auto best = best_of(state.tests, table_of(state))) view.best = best->test;
  view.forked_from = state.forked_from;
  view.tags = state.tags;
  for (const TestRecord& test : state.tests) view.tests.push_back(describe(session, test));
  view.files.push_back(file_info(*session.document));
  for (const editor::Document& document : files.documents())
    view.files.push_back(file_info(document));
  return view;
}

EditAnswer Service::Impl::whole_answer(const Session& session, std::string message) const {
  return EditAnswer{std::move(message), session.head, session.document->editable(),
                    editor::view(*session.document).value_or("")};
}

const ServiceOptions& Service::options() const { return impl_->options; }

const std::vector<tasks::Task>& Service::tasks() const { return impl_->tasks; }

Result<tasks::Task> Service::task(std::string_view name) const { return impl_->find_task(name); }

Result<tasks::Task> Service::Impl::find_task(std::string_view name) const {
  std::vector<std::string> names;
  for (const tasks::Task& task : tasks) {
    if (task.name == name) return task;
    names.push_back(task.name);
  }
  return fail("task_not_found", fmt::format("There is no task '{}'; the tasks are: {}.",
                                            name.substr(0, 60), join(names, ", ")));
}

Result<SessionView> Service::create(const NewSession& request, const Terms& terms) {
  std::unique_lock<std::mutex> creation;
  if (!terms.key.empty()) {
    creation = std::unique_lock(impl_->creation_mutex);
    BITLOOP_ASSIGN(before, impl_->created_before(request.token, terms));
    if (before) return std::move(*before);
  }
  BITLOOP_ASSIGN(start, impl_->start_of(request));
  BITLOOP_ASSIGN(task, this->task(start.task));
  if (request.tests && *request.tests > task.tests)
    return fail(
        "too_many_tests",
        fmt::format("The task '{}' allows {} test(s) a session; `tests` may lower that, not raise "
                    "it to {}.",
                    task.name, task.tests, *request.tests));
  const std::string framed = fmt::format("|{}|", request.agent);  // keeps its outer spaces
  if (is_valid_utf8(framed) && single_line(framed) != framed)
    return fail("invalid_text",
                "ERROR: agent holds a control character, such as a tab or a line end; give a name "
                "of one line.");
  BITLOOP_ASSIGN(agent, editor::clean_text(request.agent, "agent", kMaxAgentBytes));
  BITLOOP_ASSIGN(document, editor::Document::parse(start.candidate));

  SessionState state;
  state.task = task.name;
  state.quantizer = start.quantizer;
  state.forked_from = start.forked_from;
  state.agent = agent;
  state.token = request.token;
  state.type = "agent";
  state.created = utc_now();
  state.tests_total = request.tests.value_or(task.tests);
  if (!terms.key.empty()) {
    state.created_key = terms.key;
    state.created_request = journal::content_id(terms.request);
  }

  journal::Event event;
  event.kind = "session";
  event.sentence =
      fmt::format("Began a session on {} from {}", task.name,
                  start.forked_from.empty() ? start.quantizer : "test " + start.forked_from);
  event.trailers = {{"Bitloop-Task", task.name},
                    {"Bitloop-Quantizer", start.quantizer},
                    {"Bitloop-Agent", agent},
                    {"Bitloop-Fork-Of", start.forked_from}};
  if (!state.token.empty()) event.trailers.push_back({"Bitloop-Token", state.token});
  RequestKeys::mark(event, terms.key, terms.request);

  while (true) {
    state.id = make_session_id();
    auto session = impl_->begin_session(state, event, document);
    if (!session && session.error().code == "session_exists") continue;
    if (!session) return std::unexpected(session.error());
    impl_->checks->want(task.name);
    BITLOOP_ASSIGN(held, impl_->hold(std::move(*session)));
    return impl_->describe(*held);
  }
}

Result<std::shared_ptr<Session>> Service::Impl::begin_session(SessionState state,
                                                              journal::Event event,
                                                              editor::Document document) {
  state.tests_elsewhere = tests_elsewhere(state);
  event.candidate = document.text();
  event.session_json = render_state(state);
  auto ticket = feeds.take();
  event.trailers.push_back({Feeds::kTrailer, std::to_string(ticket.sequence())});
  const std::string id = state.id;
  BITLOOP_ASSIGN(head, journal->create_session(id, event));
  auto session = std::make_shared<Session>(std::move(state), std::move(document), head);
  add(session);
  ticket.published(id, head);
  return session;
}

std::vector<ListedSession> Service::list() const {
  std::vector<ListedSession> list;
  for (const auto& session : impl_->all()) {
    const std::lock_guard guard(session->mutex);
    list.push_back(impl_->as_listed(*session));
  }
  std::ranges::stable_sort(list, {}, &ListedSession::created);
  return list;
}

Result<SessionView> Service::get(std::string_view id) const {
  BITLOOP_ASSIGN(session, impl_->find(id));
  std::unique_lock guard(session->mutex);
  if (!session->rests()) {
    session->used = Session::Clock::now();
    return impl_->describe(*session);
  }
  // Looked at without waking it: who lists all sessions would have all of them in memory.
  const std::string head = session->head;
  guard.unlock();
  BITLOOP_ASSIGN(there, impl_->load(head));
  return impl_->describe(*there);
}

Result<std::string> Service::token_of(std::string_view id) const {
  BITLOOP_ASSIGN(session, impl_->find(id));
  return session->token;
}

Result<std::vector<HistoryItem>> Service::history(std::string_view id) const {
  BITLOOP_TRY(impl_->find(id));
  BITLOOP_ASSIGN(commits, impl_->journal->history(id));
  std::vector<HistoryItem> items;
  for (const journal::Commit& commit : commits) {
    HistoryItem item{commit.id, commit.time_s, commit.kind, commit.sentence, std::nullopt};
    if (const std::string test = commit.trailer("Bitloop-Test"); !test.empty())
      item.test = std::strtoll(test.c_str(), nullptr, 10);
    items.push_back(std::move(item));
  }
  return items;
}

Result<FileView> Service::view(std::string_view id, std::string_view path,
                               std::optional<int64_t> start_line,
                               std::optional<int64_t> end_line) const {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  const std::string head = session->head;
  const editor::Document candidate = *session->document;
  session.lock().unlock();
  const editor::Document* document = path == kCandidate ? &candidate : impl_->files.find(path);
  if (document == nullptr)
    return fail("file_not_found",
                fmt::format("There is no file '{}' in a session; GET /v1/sessions/{} lists "
                            "them.",
                            path.substr(0, 80), id));
  BITLOOP_ASSIGN(view, editor::view(*document, start_line, end_line));
  FileView answer{document->path(), "", document->editable(), std::move(view), head};
  const int64_t last = std::min(end_line.value_or(document->line_count()), document->line_count());
  for (int64_t line = start_line.value_or(1); line <= last; ++line)
    answer.content += document->lines()[static_cast<size_t>(line - 1)] + "\n";
  return answer;
}

std::vector<FileInfo> Service::shared_files() const {
  std::vector<FileInfo> list;
  for (const editor::Document& document : impl_->files.documents())
    list.push_back(file_info(document));
  return list;
}

Result<std::string> Service::shared_file(std::string_view path) const {
  const editor::Document* document = impl_->files.find(path);
  if (document == nullptr)
    return fail("file_not_found", fmt::format("There is no file '{}'.", path.substr(0, 80)));
  return document->text();
}

Result<EditAnswer> Service::edit(std::string_view id, const EditRequest& request,
                                 const Terms& terms) {
  BITLOOP_ASSIGN(known, impl_->find(id));
  if (request.path != kCandidate) {
    if (impl_->files.find(request.path) != nullptr)
      return fail("file_read_only", fmt::format("ERROR: {} is read-only. You may only edit {}.",
                                                request.path, kCandidate));
    return fail("file_not_found",
                fmt::format("There is no file '{}' to edit. You may only edit {}.",
                            request.path.substr(0, 80), kCandidate));
  }
  BITLOOP_TRY(check_op_fields(request));
  BITLOOP_ASSIGN(description,
                 editor::clean_text(request.description, "description", kMaxDescriptionBytes));
  BITLOOP_ASSIGN(session, impl_->hold(std::move(known)));
  BITLOOP_ASSIGN(before, impl_->done_before(*session, "edit", terms));
  if (before) return impl_->edit_again(*session, *before);
  BITLOOP_TRY(impl_->check_changeable(*session, terms));
  BITLOOP_ASSIGN(edited, apply(*session->document, request));
  SessionState state = *session->state;
  state.undo.push_back(session->head);
  journal::Event event;
  event.kind = "edit";
  event.sentence = commit_sentence(edited.message);
  event.body = description;
  event.trailers = {{"Bitloop-Op", request.op}, {"Bitloop-Region", edited.region}};
  const std::vector<std::string> warnings =
      warnings_of(session->document->text(), edited.document.text(), *session->state, impl_->tried);
  for (const std::string& warning : warnings)
    event.trailers.push_back({"Bitloop-Warning", warning});
  RequestKeys::mark(event, terms.key, terms.request);
  BITLOOP_TRY(
      impl_->commit(*session, std::move(event), std::move(state), std::move(edited.document)));
  impl_->checks->want(session->state->task);  // an edit is followed by a check
  return EditAnswer{edited.message, session->head, session->document->editable(), edited.view,
                    warnings};
}

Result<EditAnswer> Service::undo(std::string_view id, int64_t count, const Terms& terms) {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  BITLOOP_ASSIGN(before, impl_->done_before(*session, "undo", terms));
  if (before) return impl_->edit_again(*session, *before);
  BITLOOP_TRY(impl_->check_changeable(*session, terms));
  SessionState state = *session->state;
  if (count < 1 || static_cast<size_t>(count) > state.undo.size())
    return fail("nothing_to_undo",
                fmt::format("ERROR: Cannot undo {} edit(s); there are {} to undo.", count,
                            state.undo.size()));
  const size_t kept = state.undo.size() - static_cast<size_t>(count);
  BITLOOP_ASSIGN(snapshot, impl_->journal->read(state.undo[kept]));
  BITLOOP_ASSIGN(document, editor::Document::parse(snapshot.candidate));
  state.undo.resize(kept);
  journal::Event event;
  event.kind = "undo";
  const std::string message = editor::undo_message(document, count);
  event.sentence = commit_sentence(message);
  event.trailers = {{"Bitloop-Edits", std::to_string(count)}};
  RequestKeys::mark(event, terms.key, terms.request);
  BITLOOP_TRY(impl_->commit(*session, std::move(event), std::move(state), std::move(document)));
  return impl_->whole_answer(*session, message);
}

Result<EditAnswer> Service::Impl::revert(Session& session, const std::string& commit_id,
                                         std::string_view target, const Terms& terms) {
  BITLOOP_ASSIGN(snapshot, journal->read(commit_id));
  BITLOOP_ASSIGN(document, editor::Document::parse(snapshot.candidate));
  journal::Event event;
  event.kind = "revert";
  const std::string message = editor::revert_message(document, target);
  event.sentence = commit_sentence(message);
  event.trailers = {{"Bitloop-Reverted-To", commit_id}};
  RequestKeys::mark(event, terms.key, terms.request);
  BITLOOP_TRY(commit(session, std::move(event), *session.state, std::move(document)));
  return whole_answer(session, message);
}

Result<EditAnswer> Service::revert_to_test(std::string_view id, int64_t test, const Terms& terms) {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  BITLOOP_ASSIGN(before, impl_->done_before(*session, "revert", terms));
  if (before) return impl_->edit_again(*session, *before);
  BITLOOP_TRY(impl_->check_changeable(*session, terms));
  BITLOOP_ASSIGN(found, session->state->find_test(test));
  return impl_->revert(*session, found->commit, fmt::format("test #{}", test), terms);
}

Result<EditAnswer> Service::revert_to_commit(std::string_view id, std::string_view commit,
                                             const Terms& terms) {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  BITLOOP_ASSIGN(before, impl_->done_before(*session, "revert", terms));
  if (before) return impl_->edit_again(*session, *before);
  BITLOOP_TRY(impl_->check_changeable(*session, terms));
  BITLOOP_ASSIGN(found, impl_->journal->find(session->state->id, commit));
  return impl_->revert(*session, found.id, "commit " + found.id.substr(0, 12), terms);
}

Result<DiffView> Service::diff(std::string_view id, std::string_view from,
                               std::string_view to) const {
  BITLOOP_TRY(impl_->find(id));
  std::string after(to);
  if (after.empty()) {
    BITLOOP_ASSIGN(head, impl_->journal->head(id));
    after = head;
  }
  BITLOOP_ASSIGN(newer, impl_->journal->find(id, after));
  std::string before(from);
  if (before.empty()) before = newer.parent.empty() ? newer.id : newer.parent;
  BITLOOP_ASSIGN(older, impl_->journal->find(id, before));
  BITLOOP_ASSIGN(old_files, impl_->journal->read(older.id));
  BITLOOP_ASSIGN(new_files, impl_->journal->read(newer.id));
  const std::string path(kCandidate);
  BITLOOP_ASSIGN(text, journal::unified_diff(old_files.candidate, new_files.candidate, path));
  return DiffView{older.id, newer.id, path, std::move(text)};
}

std::vector<ledger::StoredRow> Service::results() const { return impl_->ledger->rows(); }

std::string Service::results_tsv() const { return impl_->ledger->text(); }

}  // namespace bitloop::sessions
