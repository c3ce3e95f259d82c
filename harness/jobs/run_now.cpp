#include "harness/jobs/run_now.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>

#include "harness/base/fd.h"

namespace bitloop::jobs {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kLookMs = 20;  // between two looks at `interrupted` and the clock
constexpr auto kGrace = 2s;  // between SIGTERM and SIGKILL

Verdict stopped(const char* status, std::string message) {
  Verdict verdict = infrastructure_verdict(std::move(message));
  verdict.status = status;
  return verdict;
}

}  // namespace

Verdict run_now(const std::filesystem::path& run_dir, const nlohmann::json& job, int timeout_ms,
                const std::atomic<bool>* interrupted) {
  const auto failed = [](const Error& error) {
    return infrastructure_verdict("The run could not be started: " + error.message);
  };
  if (const auto written = write_job(run_dir, job, /*durable=*/false); !written)
    return failed(written.error());
  const auto launched = launch_supervisor(run_dir);
  if (!launched) return failed(launched.error());
  return wait_now(run_dir, *launched, timeout_ms, interrupted);
}

Verdict wait_now(const std::filesystem::path& run_dir, pid_t supervisor, int timeout_ms,
                 const std::atomic<bool>* interrupted) {
  // Readable when it has ended. Without one (no descriptor is left) the looks find out.
  const UniqueFd end(static_cast<int>(::syscall(SYS_pidfd_open, supervisor, 0)));
  const auto start = Clock::now();
  std::optional<Clock::time_point> asked;  // when it was told to stop
  bool cancelled = false;
  while (!reap_supervisor(supervisor)) {
    pollfd polled{end.get(), POLLIN, 0};
    ::poll(&polled, 1, kLookMs);
    const auto now = Clock::now();
    if (asked && now - *asked > kGrace) {
      ::kill(supervisor, SIGKILL);
    } else if (!asked) {
      cancelled = interrupted != nullptr && *interrupted;
      if (!cancelled && now - start <= std::chrono::milliseconds(timeout_ms)) continue;
      ::kill(supervisor, SIGTERM);
      asked = now;
    }
  }
  // A moment more, when it was killed: what it started lets go of the folder.
  while (run_is_alive(run_dir)) std::this_thread::sleep_for(1ms);
  if (cancelled) return stopped("cancelled", "The run was interrupted.");
  if (asked)
    return stopped("timeout", fmt::format("The run did not end within {} s and was stopped.",
                                          static_cast<double>(timeout_ms) / 1000));
  return read_verdict(run_dir);
}

}  // namespace bitloop::jobs
