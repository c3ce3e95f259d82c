// Checks, tests and submissions.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <thread>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/base/version.h"
#include "harness/sessions/job.h"
#include "harness/sessions/report.h"
#include "harness/sessions/service_impl.h"
#include "harness/tasks/initial_model.h"
#include "harness/tasks/preset.h"

namespace bitloop::sessions {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMaxDescriptionBytes = 4096;
constexpr int kCheckTimeoutMs = 60'000;
constexpr int64_t kMaxReadyMemoryMb = 8192;
constexpr size_t kMaxRunFileBytes = size_t{256} << 20;

std::string number_text(const ledger::Number& number) {
  return number ? format_number(*number) : "";
}

}  // namespace

std::filesystem::path Service::Impl::run_dir(std::string_view id, int64_t test) const {
  return sessions::run_dir(options.workspace, id, test);
}

std::filesystem::path Service::run_dir(std::string_view id, int64_t test) const {
  return impl_->run_dir(id, test);
}

bool Service::cancel(std::string_view id, int64_t test) {
  return impl_->queue->cancel(run_dir(id, test));
}

Status Service::Impl::find_initial_model(tasks::Task& task, const nlohmann::json& preset) const {
  if (task.init_from.empty() || !task.initial_model.is_null()) return {};
  BITLOOP_ASSIGN(model,
                 tasks::find_initial_model(
                     task.init_from,
                     {{options.share_dir / "data", options.workspace}, options.workspace}, preset));
  task.initial_model = std::move(model);
  return {};
}

Result<JobRequest> Service::Impl::check_request(const std::string& name) const {
  BITLOOP_ASSIGN(task, find_task(name));
  BITLOOP_ASSIGN(preset, tasks::load_preset(options.share_dir, task.preset));
  BITLOOP_TRY(find_initial_model(task, preset));
  JobRequest request;
  request.kind = "check";
  request.task = std::move(task);
  request.seed = default_seed(request.task, preset);
  request.preset = std::move(preset);
  request.share_dir = options.share_dir;
  request.allow_degraded = options.allow_degraded;
  return request;
}

Result<nlohmann::json> Service::Impl::ready_job(const std::string& name) const {
  BITLOOP_ASSIGN(request, check_request(name));
  if (request.preset.at("limits").at("memory_mb").get<int64_t>() > kMaxReadyMemoryMb)
    return fail("too_large", "no trainer of this size is kept ready");
  return make_job(request);
}

Result<nlohmann::ordered_json> Service::check(std::string_view id, const Terms& terms) {
  std::string session_id, owner, task_name, candidate;
  std::string checked_commit;
  {
    BITLOOP_ASSIGN(session, impl_->hold(id));
    BITLOOP_ASSIGN(before, impl_->done_before(*session, "check", terms));
    if (before) return impl_->check_again(*session, *before);
    BITLOOP_TRY(impl_->check_writable(*session, terms));
    session_id = session->state->id;
    owner = Impl::owner_of(*session->state);
    task_name = session->state->task;
    candidate = session->document->text();
    checked_commit = session->head;
  }
  BITLOOP_ASSIGN(request, impl_->check_request(task_name));
  request.session = session_id;
  request.candidate = std::move(candidate);

  const auto place = impl_->check_slots.enter(owner);
  const auto start = std::chrono::steady_clock::now();
  const jobs::Verdict verdict =
      impl_->checks->run(request.task.name, make_job(request), kCheckTimeoutMs);
  const auto elapsed = std::chrono::steady_clock::now() - start;
  if (verdict.status == kInfrastructure) return fail("infrastructure", verdict.message);
  nlohmann::ordered_json document = check_document(
      verdict, std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count());
  BITLOOP_ASSIGN(seen, impl_->state_of(session_id));
  if (const auto warning = behaviour_warning(behaviour_of(verdict), seen, impl_->tried))
    document["warnings"].push_back(*warning);

  const bool ok = document["ok"];
  journal::Event event;
  event.kind = "check";
  event.sentence = ok ? "Checked the candidate: ok" : "Checked the candidate: " + verdict.status;
  event.trailers = {{"Bitloop-Status", verdict.status}, {"Bitloop-Checked", checked_commit}};
  if (document["bits_per_weight"].is_number())
    event.trailers.push_back(
        {"Bitloop-Bits-Per-Weight", format_number(document["bits_per_weight"])});
  // An answer that is not to be found in the commit otherwise.
  if (!terms.key.empty())
    event.trailers.push_back({"Bitloop-Answer", document.dump(-1, ' ', true)});
  RequestKeys::mark(event, terms.key, terms.request);
  BITLOOP_ASSIGN(session, impl_->hold(id));
  if (!session->state->closed)  // submitted meanwhile: the answer stands, the story has ended
    BITLOOP_TRY(impl_->commit(*session, std::move(event), *session->state, *session->document));
  return document;
}

Result<TestView> Service::Impl::begin_test(const std::shared_ptr<Session>& shared,
                                           const tasks::Task& task, const nlohmann::json& preset,
                                           TestRecord test, const Terms& terms) {
  Session& session = *shared;
  test.number = static_cast<int64_t>(session.state->tests.size()) + 1;
  test.status = kRunning;
  test.digest = digest_of(session.document->text());

  journal::Event event;
  event.kind = "test-started";
  event.sentence = fmt::format("Started test #{} on {}", test.number, task.name);
  event.body = test.description;
  event.trailers = {{"Bitloop-Test", std::to_string(test.number)},
                    {"Bitloop-Seed", std::to_string(test.seed)},
                    {"Bitloop-Quantizer", test.quantizer}};
  RequestKeys::mark(event, terms.key, terms.request);
  SessionState state = *session.state;
  state.tests.push_back(test);
  // Charged here: from this commit on the test counts, whatever happens to this process.
  BITLOOP_TRY(commit(session, std::move(event), std::move(state), *session.document));
  session.state->tests.back().commit = session.head;
  const JobRequest request{"train", session.state->id, test.number, session.document->text(), task,
                           preset, session.state->tests.back().seed, options.share_dir,
                           options.allow_degraded, options.benchmarks,
                           // Runs of the command line are asked for by people, to their end.
                           /*may_stop_early=*/!is_of_command_line(session.state->type)};
  const std::filesystem::path folder = run_dir(session.state->id, test.number);
  progress->started(session.state->id, test.number, folder / "events.jsonl");
  queue->submit(
      {folder, make_job(request), ending_of(shared, test.number), owner_of(*session.state)});
  return describe(session, session.state->tests.back());
}

Result<TestView> Service::start_test(std::string_view id, std::string_view description,
                                     const Terms& terms) {
  BITLOOP_ASSIGN(known, impl_->find(id));
  BITLOOP_ASSIGN(text, editor::clean_text(description, "description", kMaxDescriptionBytes));
  BITLOOP_ASSIGN(session, impl_->hold(std::move(known)));
  BITLOOP_ASSIGN(before, impl_->done_before(*session, "test-started", terms));
  if (before) return impl_->test_again(*before);
  BITLOOP_TRY(impl_->check_changeable(*session, terms));
  if (session->state->tests_left() == 0)
    return fail(
        "no_tests_left",
        fmt::format(
            "All {} test(s) of this session are used; submit one of them (POST …/submission "
            "{{\"test\": n}}).",
            session->state->tests_total));
  BITLOOP_ASSIGN(task, this->task(session->state->task));
  BITLOOP_ASSIGN(preset, tasks::load_preset(impl_->options.share_dir, task.preset));
  BITLOOP_TRY(impl_->find_initial_model(task, preset));
  const std::string& token = session->state->token;
  if (!impl_->budgets.take(token, task.name, task.tests))
    return fail("no_tests_left",
                fmt::format("All {} test(s) of the token '{}' on the task '{}' are used, in this "
                            "session and its others; submit one that ended as ok.",
                            task.tests, token, task.name));
  TestRecord record;
  record.seed = default_seed(task, preset);
  record.description = text;
  auto begun = impl_->begin_test(session.shared(), task, preset, std::move(record), terms);
  if (!begun) impl_->budgets.give_back(token, task.name);
  return begun;
}

std::function<void(const jobs::Verdict&)> Service::Impl::ending_of(
    const std::shared_ptr<Session>& session, int64_t number) {
  return [this, session, number](const jobs::Verdict& verdict) {
    finish_test(session, number, verdict);
  };
}

void Service::Impl::finish_test(const std::shared_ptr<Session>& session, int64_t number,
                                const jobs::Verdict& verdict) {
  while (true) {
    {
      const auto held = hold(session);
      const Status finished =
          held ? try_finish(**held, number, verdict) : std::unexpected(held.error());
      if (finished) return;
      spdlog::error("test {} of session {} cannot be written down: {}", number, session->id,
                    finished.error().message);
    }
    // The verdict lies in the run's folder: what is not written now is written by the next start.
    for (int i = 0; i < 20; ++i) {
      if (stopping) return;
      std::this_thread::sleep_for(50ms);
    }
  }
}

Status Service::Impl::try_finish(Session& session, int64_t number, const jobs::Verdict& verdict) {
  if (!session.state->tests.at(static_cast<size_t>(number - 1)).running())
    return {};                                 // it was told
  progress->ended(session.state->id, number);  // its last step is heard before its end
  SessionState state = *session.state;
  TestRecord& test = state.tests.at(static_cast<size_t>(number - 1));
  const std::string events =
      read_file(run_dir(state.id, number) / "events.jsonl", kMaxRunFileBytes).value_or("");
  test.status = verdict.status;
  const std::string& task = test.task.empty() ? state.task : test.task;
  test.stages = render_stages(verdict, task, events);
  test.behaviour = behaviour_of(verdict);
  ledger::Row& row = test.row;
  row = ledger::Row{};
  row.time = utc_now();
  row.session = state.id;
  row.test = number;
  row.commit = test.commit;
  row.type = state.type;
  row.agent = state.agent;
  row.task = task;
  row.quantizer = test.quantizer.empty() ? state.quantizer : test.quantizer;
  row.seed = test.seed;
  row.version = version_of(events);
  if (row.version.empty()) row.version = fmt::format("{}+{}", version(), git_hash());
  row.description = test.description;
  fill_row(row, verdict);

  journal::Event event;
  event.kind = "test-finished";
  event.sentence = row.val_loss ? fmt::format("Finished test #{}: {}, val_loss {:.4f}", number,
                                              row.status, *row.val_loss)
                                : fmt::format("Finished test #{}: {}", number, row.status);
  event.body = verdict.message;
  event.trailers = {{"Bitloop-Test", std::to_string(number)},
                    {"Bitloop-Status", row.status},
                    {"Bitloop-Val-Loss", number_text(row.val_loss)},
                    {"Bitloop-Bits-Per-Weight", number_text(row.bits_per_weight)},
                    {"Bitloop-Flags", join(row.flags, ",")},
                    {"Bitloop-Candidate", row.commit}};
  const ledger::Row finished = row;
  BITLOOP_TRY(commit(session, std::move(event), std::move(state), *session.document));
  tried.add(*session.state, session.state->tests.at(static_cast<size_t>(number - 1)));
  if (finished.status == kInfrastructure) budgets.give_back(session.state->token, finished.task);
  // A row that cannot be written now is rebuilt from the journal by the next start.
  if (const auto appended = ledger->append(finished); !appended)
    spdlog::error("results.tsv: {}", appended.error().message);
  return {};
}

Result<TestView> Service::test(std::string_view id, int64_t number, int64_t wait_ms) const {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  BITLOOP_TRY(session->state->find_test(number));
  // By number, not by pointer: while it waits, the list may move.
  const auto ended = [&] {
    return impl_->stopping || session->rests() ||
           !session->state->tests[static_cast<size_t>(number - 1)].running();
  };
  session->changed.wait_for(session.lock(), std::chrono::milliseconds(wait_ms), ended);
  BITLOOP_TRY(impl_->wake(*session));  // however long it took this thread to wake up itself
  TestView view = impl_->describe(*session, session->state->tests[static_cast<size_t>(number - 1)]);
  if (const auto ahead = impl_->queue->ahead_of(run_dir(id, number)))
    view.message += fmt::format(" (waiting; {} test(s) will start before it)", *ahead);
  return view;
}

Result<std::string> Service::run_file(std::string_view id, int64_t test, const char* name) const {
  {
    BITLOOP_ASSIGN(session, impl_->hold(id));
    BITLOOP_TRY(session->state->find_test(test));
  }
  auto text = read_file(impl_->run_dir(id, test) / name, kMaxRunFileBytes);
  if (!text && text.error().code == "file_not_found") return std::string();
  return text;
}

Result<TestView> Service::submit(std::string_view id, int64_t number, const Terms& terms) {
  BITLOOP_ASSIGN(session, impl_->hold(id));
  BITLOOP_ASSIGN(before, impl_->done_before(*session, "submission", terms));
  if (before) return impl_->submission_again(*before);
  BITLOOP_TRY(impl_->check_changeable(*session, terms));
  BITLOOP_ASSIGN(test, session->state->find_test(number));
  if (test->status != "ok")
    return fail("test_failed",
                fmt::format("Test #{} ended as {} and cannot be submitted; submit one that "
                            "ended as ok.",
                            number, test->status));
  // The branch ends with the candidate that was scored, whatever was edited since.
  BITLOOP_ASSIGN(snapshot, impl_->journal->read(test->commit));
  BITLOOP_ASSIGN(document, editor::Document::parse(snapshot.candidate));
  SessionState state = *session->state;
  state.closed = true;
  state.submitted = number;
  journal::Event event;
  event.kind = "submission";
  event.sentence = fmt::format("Submitted test #{} as final", number);
  event.trailers = {{"Bitloop-Test", std::to_string(number)},
                    {"Bitloop-Status", test->status},
                    {"Bitloop-Val-Loss", number_text(test->row.val_loss)},
                    {"Bitloop-Candidate", test->commit}};
  RequestKeys::mark(event, terms.key, terms.request);
  BITLOOP_TRY(impl_->commit(*session, std::move(event), std::move(state), std::move(document)));
  if (const auto marked = impl_->ledger->submit(id, number); !marked)
    spdlog::error("results.tsv: {}", marked.error().message);
  TestView view = impl_->describe(*session, session->state->tests[static_cast<size_t>(number - 1)]);
  view.message = submit_sentence(number);
  return view;
}

Result<TestView> Service::start_local(const LocalRun& run) {
  if (!is_of_command_line(run.type))
    return fail("wrong_usage", fmt::format("There are no runs of the type '{}'.", run.type));
  BITLOOP_ASSIGN(document, editor::Document::read_only(run.candidate, std::string(kCandidate)));
  BITLOOP_ASSIGN(description,
                 editor::clean_text(run.description, "description", kMaxDescriptionBytes));
  tasks::Task task = run.task;
  BITLOOP_TRY(impl_->find_initial_model(task, run.preset));
  if (!impl_->find(run.type)) {
    SessionState state;
    state.id = run.type;
    state.type = run.type;
    state.created = utc_now();
    journal::Event event;
    event.kind = "session";
    event.sentence = "Began the session of runs from the command line";
    BITLOOP_TRY(impl_->begin_session(std::move(state), std::move(event), document));
  }
  BITLOOP_ASSIGN(session, impl_->hold(run.type));
  session->document = document;
  session->state->task = run.task.name;
  session->state->quantizer = run.quantizer;
  TestRecord record;
  record.seed = run.seed ? *run.seed : default_seed(run.task, run.preset);
  record.description = description;
  record.task = run.task.name;
  record.quantizer = run.quantizer;
  record.fingerprint = fingerprint(run.candidate, task, run.preset, record.seed);
  return impl_->begin_test(session.shared(), task, run.preset, std::move(record), {});
}

}  // namespace bitloop::sessions
