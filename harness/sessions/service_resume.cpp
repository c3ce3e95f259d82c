// Runs that go on from their newest checkpoint: those that were killed, and those of the command
// line that a fault ended.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "harness/jobs/change_ranks.h"
#include "harness/jobs/half_written.h"
#include "harness/jobs/job.h"
#include "harness/jobs/set_aside.h"
#include "harness/sessions/service_impl.h"

namespace bitloop::sessions {
namespace {

// Ends for which another start can be better: nothing that the candidate does is in them, or it had
// too little room.
bool may_go_on_after(const std::string& status) {
  return status == kInfrastructure || status == kOutOfMemory;
}

}  // namespace

void Service::Impl::resume_run(const std::shared_ptr<Session>& session, int64_t number) {
  const std::string& id = session->id;
  const std::filesystem::path folder = run_dir(id, number);
  jobs::remove_half_written(folder);
  spdlog::info("the run of session {} test {} goes on from its newest checkpoint", id, number);
  progress->started(id, number, folder / "events.jsonl");
  queue->submit({folder, nullptr, ending_of(session, number), owner_of(*session->state)});
}

// The journal first, the verdict's rename last. Killed in between, the test is running and its
// verdict is there: the next start adopts it, and it has ended as before. Killed afterwards, it is
// a run that was killed.
Status Service::Impl::reopen(Session& session, const TestRecord& ended) {
  const int64_t number = ended.number;
  const std::filesystem::path folder = run_dir(session.state->id, number);
  journal::Event event;
  event.kind = "test-resumed";
  event.sentence = fmt::format("Resumed test #{}, which had ended as {}", number, ended.status);
  event.trailers = {{"Bitloop-Test", std::to_string(number)},
                    {"Bitloop-Status", kRunning},
                    {"Bitloop-Candidate", ended.commit}};
  SessionState state = *session.state;
  TestRecord& test = state.tests.at(static_cast<size_t>(number - 1));
  test.status = kRunning;
  test.stages.clear();
  test.behaviour.clear();
  test.row = {};
  BITLOOP_TRY(commit(session, std::move(event), std::move(state), *session.document));
  // A row that cannot be removed now is not there after the next start.
  if (const auto removed = ledger->remove(session.state->id, number); !removed)
    spdlog::error("results.tsv: {}", removed.error().message);
  const auto aside = jobs::set_verdict_aside(folder);
  if (aside) return {};
  // It ends once more as it had; where that can't be written either, the next start does it.
  if (const auto again = try_finish(session, number, jobs::read_verdict(folder)); !again)
    spdlog::error("test {} of session {} cannot be written down: {}", number, session.id,
                  again.error().message);
  return aside;
}

Result<TestView> Service::resume_local(std::string_view type, int64_t number, int64_t ranks) {
  BITLOOP_ASSIGN(session, impl_->hold(type));
  BITLOOP_ASSIGN(test, session->state->find_test(number));
  const auto refuse = [&](std::string_view why) {
    return fail("not_resumable", fmt::format("Test #{} of {} {}.", number, type, why));
  };
  if (!is_of_command_line(session->state->type))
    return refuse("can't be resumed from here: it is an agent's, whose runs a server lets go on");
  const std::filesystem::path folder = impl_->run_dir(type, number);
  const bool ended = !test->running();
  if (ended && !may_go_on_after(test->status))
    return refuse(
        fmt::format("can't be resumed: it has ended as {}; only a run that was killed, "
                    "or ended as infrastructure or out_of_memory, goes on",
                    test->status));
  if (jobs::run_is_alive(folder)) return refuse("is running: it was not killed");
  if (const auto job = jobs::read_job(folder / "job.json"); job && job->remote_rank)
    return refuse(
        "can't be resumed: torchrun or srun began it, and its ranks on other machines can't be "
        "started again from here; train again, or with --ranks on one machine");
  if (ended && !jobs::run_left_checkpoint(folder))
    return refuse(
        fmt::format("has ended as {} and left no checkpoint (checkpoint.every): train "
                    "again",
                    test->status));
  if (!ended && jobs::run_has_verdict(folder))
    return refuse("has ended; its verdict is being written down");
  if (!ended && !jobs::run_can_resume(folder))
    return refuse("leaves no checkpoints (checkpoint.every): train again");
  const auto job_before = read_file(folder / "job.json");
  if (ranks > 0) BITLOOP_TRY(jobs::change_ranks(folder, ranks));
  if (ended) {
    if (const Status reopened = impl_->reopen(*session, *test); !reopened) {
      if (ranks > 0 && job_before) (void)write_file_atomic(folder / "job.json", *job_before);
      return std::unexpected(reopened.error());
    }
  }
  impl_->resume_run(session.shared(), number);
  return impl_->describe(*session, session->state->tests.at(static_cast<size_t>(number - 1)));
}

}  // namespace bitloop::sessions
