// The queue: runs wait in turns of their owners (fair_order.h) and go one (or `slots`) at a time,
// each under a supervisor of its own.
//
// The queue knows folders and verdicts, not sessions or journals. It ends with the process; the
// runs do not: a new queue adopts them.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "harness/jobs/fair_order.h"
#include "harness/jobs/run_folder.h"

namespace bitloop::jobs {

struct Run {
  std::filesystem::path run_dir;
  nlohmann::json job;  // job.json; null: the folder has one, of a run that goes on
  // Called once, from one of the queue's threads, when the run has ended (or could not start), or
  // from cancel() when it never started. Not called for runs that were waiting or alive when the
  // queue was stopped.
  std::function<void(const Verdict&)> on_end;
  // Whose run it is: waiting owners take turns.
  std::string owner = {};
};

// Thread-safe. Invariants: (1) runs of one owner start in the order of submit, and no owner's
// second run before another's first; (2) at most `slots` submitted runs are alive, not counting
// adopted ones; (3) on_end is called exactly once a run, or never if the queue stopped first.
class Queue {
 public:
  explicit Queue(int slots);
  ~Queue();  // stop()
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Appends a run; it starts when a slot is free and its turn has come.
  void submit(Run run);
  // Watches a run that an earlier process started. It occupies the machine, so submitted runs wait
  // for it.
  void adopt(Run run);
  // Ends a run as "cancelled": one that waits at once, before this returns; one that is alive by
  // asking its supervisor (SIGTERM), whoever started it. False when it is neither, or when an
  // adopted run's supervisor cannot be found. What has ended by itself meanwhile keeps its verdict.
  // Requires: on_end may be called on this thread.
  bool cancel(const std::filesystem::path& run_dir);
  // How many waiting runs start before this one; nothing when it does not wait or a slot is free.
  std::optional<size_t> ahead_of(const std::filesystem::path& run_dir);
  // Stops watching and starting; living runs go on by themselves. Returns when no on_end is running
  // any more.
  void stop();

 private:
  void work();
  void perform(Run& run, bool adopted);
  // Waits until the run's supervisor is gone; false when the queue stopped first.
  bool wait_for_end(const std::filesystem::path& run_dir, pid_t child);

  // Starts the run's supervisor unless the run was cancelled meanwhile (then 0).
  Result<pid_t> launch(const Run& run);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Run> adopted_;  // not watched yet; they go first
  FairOrder<Run> waiting_;
  std::map<std::filesystem::path, pid_t> at_work_;  // a process of ours not yet collected, or 0
  std::set<std::filesystem::path> cancelled_;       // of those at work
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace bitloop::jobs
