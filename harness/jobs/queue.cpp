#include "harness/jobs/queue.h"

#include <fmt/format.h>
#include <signal.h>

#include <chrono>

#include "sandbox/jail.h"

namespace bitloop::jobs {
namespace {

using namespace std::chrono_literals;

// How often a living run is looked at: two system calls a look.
constexpr auto kPollInterval = 20ms;

Verdict launch_failure(const Error& error) {
  return infrastructure_verdict("The run could not be started: " + error.message);
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
    waiting_.push_back({std::move(run), false});
  }
  changed_.notify_one();
}

void Queue::adopt(Run run) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_front({std::move(run), true});
  }
  changed_.notify_one();
}

void Queue::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  for (std::thread& worker : workers_)
    if (worker.joinable()) worker.join();
}

void Queue::work() {
  while (true) {
    Entry entry;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      entry = std::move(waiting_.front());
      waiting_.pop_front();
    }
    perform(entry.run, entry.adopted);
  }
}

void Queue::perform(Run& run, bool adopted) {
  pid_t child = -1;
  if (!adopted) {
    if (const auto written = write_job(run.run_dir, run.job); !written)
      return run.on_end(launch_failure(written.error()));
    const auto launched = [&] {
      // Under the lock, so that whoever sees the run at work can also cancel it.
      const std::lock_guard lock(mutex_);
      auto started = launch_supervisor(run.run_dir);
      if (started) children_[run.run_dir] = *started;
      return started;
    }();
    if (!launched) return run.on_end(launch_failure(launched.error()));
    child = *launched;
  }
  if (!wait_for_end(run.run_dir, child)) return;
  // A supervisor that was killed left the run's files with the jail's user.
  if (!run_has_verdict(run.run_dir)) sandbox::take_back_output(run.run_dir / "output");
  run.on_end(read_verdict(run.run_dir));
}

bool Queue::wait_for_end(const std::filesystem::path& run_dir, pid_t child) {
  while (run_is_alive(run_dir)) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kPollInterval, [this] { return stopping_; })) return false;
  }
  if (child > 0) {
    {
      const std::lock_guard lock(mutex_);
      children_.erase(
          run_dir);  // before it is collected: a process id is sent signals only while it is ours
    }
    wait_for_exit(child);
  }
  return true;
}

bool Queue::cancel(const std::filesystem::path& run_dir) {
  const std::lock_guard lock(mutex_);
  const auto child = children_.find(run_dir);
  return child != children_.end() && ::kill(child->second, SIGTERM) == 0;
}

}  // namespace bitloop::jobs
