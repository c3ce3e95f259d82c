// Trainers kept ready for checks: a supervisor and its jailed trainer are started before there is a
// candidate, with a job that has none; the trainer loads everything, locks itself down and waits.
// A check then costs the audits alone.
//
// Invariants:
// 1. A trainer sees one candidate and ends: nothing can be carried from one check to the next.
// 2. At most `most` wait, one a name, those whose names were wanted last; none longer than `idle`
//    after its name was wanted last.
// 3. One waits only as long as this process holds its pipe: when the process ends, however it ends,
//    so do they. They are nobody's runs, so no later process adopts them.
// 4. A check never fails for want of one: whatever is wrong with it, the check starts cold.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "harness/base/result.h"
#include "harness/jobs/run_folder.h"

namespace bitloop::jobs {

class ReadyTrainer;

// Thread-safe.
class ReadyChecks {
 public:
  struct Options {
    std::filesystem::path folder;  // the checks' folders are made in it
    std::string prefix;            // and their names begin so
    size_t most = 2;               // trainers that wait; 0: none, every check starts cold
    std::chrono::milliseconds idle{std::chrono::minutes(5)};
    std::chrono::milliseconds pause{std::chrono::seconds(30)};  // after one that died while waiting
  };
  // The job of a check under this name, but for the candidate; an error: none is kept ready.
  using MakeJob = std::function<Result<nlohmann::json>(const std::string& name)>;

  ReadyChecks(Options options, MakeJob make_job);
  ~ReadyChecks();  // stop()
  ReadyChecks(const ReadyChecks&) = delete;
  ReadyChecks& operator=(const ReadyChecks&) = delete;

  // Checks under this name may come soon. Returns at once; a thread (started by the first call)
  // starts what is missing, at a time when no check runs.
  void want(std::string_view name);

  // Whether one waits for `name`, so that the next check finds it.
  bool is_ready(std::string_view name);

  // Performs a check to its end, with the trainer that waits for `name` if it was started with this
  // very job and program, or in a folder of its own. Verdicts as those of run_now.
  Verdict run(const std::string& name, const nlohmann::json& job, int timeout_ms);

  // Ends the trainers that wait, and the thread. Checks that run go on, cold ones may begin.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  struct Wanted {
    std::string name;
    Clock::time_point last;  // when it was wanted last
    Clock::time_point not_before{};
    std::unique_ptr<ReadyTrainer> trainer;  // null: none waits
  };
  using Trainers = std::vector<std::unique_ptr<ReadyTrainer>>;

  void note(std::string_view name);  // Requires: locked
  std::unique_ptr<ReadyTrainer> take(const std::string& name, const std::string& identity);
  Verdict run_cold(const nlohmann::json& job, int timeout_ms) const;
  void work();
  // Takes what is to end off the list. Requires: locked.
  Trainers expired();
  // The first name for which one should be started now, or null. Requires: locked.
  Wanted* missing();

  const Options options_;
  const MakeJob make_job_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Wanted> wanted_;  // newest first, at most `most`
  Trainers unwanted_;         // to be ended by the thread
  int running_ = 0;           // checks
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bitloop::jobs
