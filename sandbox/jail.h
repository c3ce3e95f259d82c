// One program in a jail: start it, feed on its pipes while it runs, and learn how it ended. What
// kills it is named.
//
// Invariants:
// 1. Nothing of the jail is alive after wait() or the destructor.
// 2. Nothing of it outlives the calling thread, even one that is killed.
// 3. A layer that is missing is in the verdict, and without allow_degraded there is no start.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "harness/base/result.h"
#include "sandbox/policy.h"
#include "sandbox/verdict.h"

namespace bitloop::sandbox {

// The read end of a pipe whose write end is in the jail. `on_data` may answer with a reason to kill
// the jail.
struct Stream {
  int fd;  // made non-blocking by wait()
  std::function<std::optional<KilledBy>(std::string_view data)> on_data;
};

// Makes a run's output folder this process's user's again, as the end of a jail does: for a run
// whose supervisor was killed before it could.
void take_back_output(const std::filesystem::path& folder);

class Jail {
 public:
  // Starts policy.program. `layers` (may be null) tells what is active and missing, after an error
  // too. Errors: "sandbox_unavailable" (a layer is missing; the message names it, what to do, and
  // what --allow-degraded would give up), "file_not_found", "not_readable", "not_executable". The
  // caller should close its copies of the jail's ends of pipes afterwards, or their streams never
  // end. Requires: called and waited for in the same thread, which outlives the jail.
  static Result<Jail> start(const Policy& policy, std::vector<LayerState>* layers);

  ~Jail();
  Jail(Jail&&) noexcept;
  Jail& operator=(Jail&&) = delete;

  // Runs until the program has ended and every stream is drained. Kills it at the deadline, above
  // the memory cap, when a stream says so, and when `cancel_fd` (-1: none) becomes readable. The
  // first reason is the verdict's. Call once.
  Verdict wait(std::span<const Stream> streams, int cancel_fd = -1);

  // Counts wall-clock time anew: the program is killed `limit` from now, and the verdict's wall_ms
  // begins now. For a program that was started before there was work for it. To be called from a
  // stream's on_data.
  void restart_deadline(std::chrono::milliseconds limit);

 private:
  struct State;
  explicit Jail(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The layers a jail would have now: fast (some ms), without side effects. The program and its files
// are not looked at. `disabled_for_test`: as in Policy.
std::vector<LayerState> probe(const std::set<std::string>& disabled_for_test = {});

}  // namespace bitloop::sandbox
