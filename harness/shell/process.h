// One jailed trainer that its host talks to, of a shell or an evaluation: its thread, its pipes, the
// records it sent. The jail lives as long as this object.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/result.h"
#include "sandbox/policy.h"
#include "sandbox/verdict.h"

namespace bitloop::shell {

class Process {
 public:
  using Json = nlohmann::ordered_json;

  struct Options {
    unsigned threads = 2;
    uint64_t memory_bytes = uint64_t{4} << 30;
    uint64_t output_bytes = 0;  // that it may write to a file it was given
    bool allow_degraded = false;
    std::string device = "cpu";  // cpu, cuda, or auto: a GPU where one can be had
  };
  // The number that files[i] has in the jail: what a job calls it.
  static int file_fd(size_t i);
  // Starts a trainer with this job and these open files; the job's nonce, threads and descriptors of
  // requests are added. Errors of sandbox::Jail.
  static Result<std::unique_ptr<Process>> start(Json job, const std::vector<UniqueFd>& files,
                                                const Options& options);
  ~Process();  // ends the jail
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Sends a request. False when the process is gone.
  bool send(const Json& request);
  // The next record, waited for until `until`; nothing when there is none by then or the process
  // has ended.
  std::optional<Json> next(std::chrono::steady_clock::time_point until);
  // Asks the chunk of this request to end.
  void interrupt(uint64_t id);
  void kill();
  bool ended();
  // How it ended, as a clause: "it was killed: more than 4096 MiB of memory". Requires: ended().
  std::string reason();

 private:
  explicit Process(uint64_t memory_bytes) : memory_bytes_(memory_bytes) {}
  void run(const std::vector<sandbox::Policy>& policies, const std::string& nonce);

  const uint64_t memory_bytes_;
  UniqueFd requests_, cancel_read_, cancel_write_, events_, output_;
  std::vector<UniqueFd> of_jail_;  // closed here once the jail has them
  void* control_ = nullptr;        // the page with the number of the request to interrupt

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Json> records_;
  std::string violation_, printed_;
  std::optional<Status> started_;
  std::optional<sandbox::Verdict> verdict_;
  std::thread thread_;  // starts the jail and waits for it: the kernel ends it with this thread
};

}  // namespace bitloop::shell
