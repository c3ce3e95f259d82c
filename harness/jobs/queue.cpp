#include "harness/jobs/queue.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <chrono>

#include "harness/jobs/ask_to_end.h"
#include "harness/jobs/cancelled.h"
#include "harness/jobs/half_written.h"
#include "sandbox/jail.h"

namespace bitloop::jobs {
namespace {

using namespace std::chrono_literals;

// How often a living run is looked at: two system calls a look.
constexpr auto kPollInterval = 20ms;
constexpr auto kHasty = 10s;
constexpr int kMostHasty = 5;
constexpr auto kPauseBeforeResuming = 500ms;

Verdict launch_failure(const Error& error) {
  return infrastructure_verdict("The run could not be started: " + error.message);
}

Verdict cancelled_verdict() {
  return Verdict{"cancelled", "The run was cancelled.", nullptr, {}, nullptr};
}

void wait_for_exit(pid_t pid) {
  while (!reap_supervisor(pid)) std::this_thread::sleep_for(1ms);
}

}  // namespace

Queue::Queue(int slots) {
  for (int i = 0; i < slots; ++i) workers_.emplace_back([this] { work(); });
}

Queue::~Queue() { stop(); }

void Queue::submit(Run run) {
  {
    const std::lock_guard lock(mutex_);
    const std::string owner = run.owner;
    waiting_.push(owner, std::move(run));
  }
  changed_.notify_all();  // busy workers wait on it, too
}

void Queue::adopt(Run run) {
  {
    const std::lock_guard lock(mutex_);
    adopted_.push_back(std::move(run));
  }
  changed_.notify_all();  // busy workers wait on it, too
}

void Queue::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
    adopted_.clear();
  }
  changed_.notify_all();
  for (std::thread& worker : workers_)
    if (worker.joinable()) worker.join();
}

void Queue::work() {
  while (true) {
    Run run;
    bool adopted = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty() || !adopted_.empty(); });
      if (stopping_) return;
      adopted = !adopted_.empty();
      if (adopted) {
        run = std::move(adopted_.front());
        adopted_.pop_front();
      } else {
        run = waiting_.pop();
      }
      at_work_[run.run_dir] = 0;
    }
    perform(run, adopted);
  }
}

Result<pid_t> Queue::launch(const Run& run) {
  if (!run.job.is_null()) BITLOOP_TRY(write_job(run.run_dir, run.job));
  // Under the lock, so that whoever sees the run at work can also cancel it.
  const std::lock_guard lock(mutex_);
  if (cancelled_.contains(run.run_dir)) return 0;
  auto started = launch_supervisor(run.run_dir);
  if (started) at_work_[run.run_dir] = *started;
  return started;
}

void Queue::perform(Run& run, bool adopted) {
  const auto end = [&](const Verdict& verdict) {
    {
      const std::lock_guard lock(mutex_);
      at_work_.erase(run.run_dir);
      cancelled_.erase(run.run_dir);
    }
    run.on_end(verdict);
  };
  const auto was_cancelled = [&] {
    const std::lock_guard lock(mutex_);
    return cancelled_.contains(run.run_dir);
  };
  bool has_verdict = false, cancelled = false;
  int hasty = 0;  // ends soon after their start, one after the other
  while (!has_verdict && !cancelled) {
    const auto start = std::chrono::steady_clock::now();
    pid_t child = 0;
    if (!adopted) {
      const auto launched = launch(run);
      if (!launched) return end(launch_failure(launched.error()));
      if (*launched == 0) return end(cancelled_verdict());
      child = *launched;
    }
    if (!wait_for_end(run.run_dir, child)) return;
    has_verdict = run_has_verdict(run.run_dir);
    cancelled = was_cancelled();
    if (has_verdict) break;
    // A supervisor that was killed left the run's files with the jail's user.
    sandbox::take_back_output(run.run_dir / "output");
    remove_half_written(run.run_dir);
    if (!run_can_resume(run.run_dir)) break;
    // Again, from its newest checkpoint. The supervisor counts how often, if it comes so far.
    hasty = std::chrono::steady_clock::now() - start < kHasty ? hasty + 1 : 0;
    if (hasty >= kMostHasty)
      return end(was_cancelled()
                     ? cancelled_verdict()
                     : infrastructure_verdict("The run's supervisor ends as soon as it is started; "
                                              "see supervisor.log in its folder."));
    run.job = nullptr;
    adopted = false;
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kPauseBeforeResuming, [this] { return stopping_; })) return;
  }
  // A supervisor that was asked before it could listen ended at once, and says nothing.
  end(was_cancelled() && !has_verdict ? cancelled_verdict() : read_verdict(run.run_dir));
}

bool Queue::wait_for_end(const std::filesystem::path& run_dir, pid_t child) {
  while (run_is_alive(run_dir)) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kPollInterval, [this] { return stopping_; })) return false;
  }
  if (child > 0) {
    {
      // Before it is collected: a process id is sent signals only while it is ours.
      const std::lock_guard lock(mutex_);
      at_work_[run_dir] = 0;
    }
    wait_for_exit(child);
  }
  return true;
}

bool Queue::cancel(const std::filesystem::path& run_dir) {
  const auto is_it = [&](const Run& run) { return run.run_dir == run_dir; };
  std::unique_lock lock(mutex_);
  if (auto waiting = waiting_.remove(is_it)) {
    mark_cancelled(run_dir);  // of one that was to go on
    lock.unlock();
    waiting->on_end(cancelled_verdict());
    return true;
  }
  if (std::ranges::any_of(adopted_, is_it)) return ask_supervisor_to_end(run_dir);
  const auto found = at_work_.find(run_dir);
  if (found == at_work_.end()) return false;
  if (found->second > 0 || !run_is_alive(run_dir)) mark_cancelled(run_dir);
  // Another process's child was adopted; where nobody lives, launch() finds what is noted here.
  const bool asked = found->second > 0       ? ::kill(found->second, SIGTERM) == 0
                     : run_is_alive(run_dir) ? ask_supervisor_to_end(run_dir)
                                             : true;
  if (asked) cancelled_.insert(run_dir);
  return asked;
}

std::optional<size_t> Queue::ahead_of(const std::filesystem::path& run_dir) {
  const std::lock_guard lock(mutex_);
  if (at_work_.size() < workers_.size()) return std::nullopt;  // about to start
  return waiting_.ahead_of([&](const Run& run) { return run.run_dir == run_dir; });
}

}  // namespace bitloop::jobs
