// The queue: runs wait in order and go one (or `slots`) at a time, each under a supervisor of its
// own.
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
#include <thread>
#include <vector>

#include "harness/jobs/run_folder.h"

namespace bitloop::jobs {

struct Run {
  std::filesystem::path run_dir;
  nlohmann::json job;  // job.json; unused when the run is adopted
  // Called once, from one of the queue's threads, when the run has ended (or could not start). Not
  // called for runs that were waiting or alive when the queue was stopped.
  std::function<void(const Verdict&)> on_end;
};

// Thread-safe. Invariants: (1) runs start in the order of submit; (2) at most `slots` submitted
// runs are alive, not counting adopted ones; (3) on_end is called exactly once a run, or never if
// the queue stopped first.
class Queue {
 public:
  explicit Queue(int slots);
  ~Queue();  // stop()
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Appends a run; it starts when a slot is free.
  void submit(Run run);
  // Watches a run that an earlier process started. It occupies the machine, so submitted runs wait
  // for it.
  void adopt(Run run);
  // Asks the supervisor of a run that this queue started to end it (SIGTERM: the verdict is
  // "cancelled"). False when the run is not alive or was adopted.
  bool cancel(const std::filesystem::path& run_dir);
  // Stops watching and starting; living runs go on by themselves. Returns when no on_end is running
  // any more.
  void stop();

 private:
  void work();
  void perform(Run& run, bool adopted);
  // Waits until the run's supervisor is gone; false when the queue stopped first.
  bool wait_for_end(const std::filesystem::path& run_dir, pid_t child);

  struct Entry {
    Run run;
    bool adopted = false;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> waiting_;
  std::map<std::filesystem::path, pid_t> children_;  // alive or not yet collected
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace bitloop::jobs
