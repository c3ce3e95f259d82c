#include "harness/jobs/ready_trainer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "harness/jobs/run_now.h"
#include "harness/jobs/trainer_process.h"

namespace bitloop::jobs {
namespace {

using namespace std::chrono_literals;

constexpr auto kEndGrace = 2s;
// A trainer that is still being prepared reads nothing yet, and a pipe holds 64 KiB of a candidate.
constexpr int kHandOverMs = 5'000;

// Writes all of it, unless the reader is gone or reads nothing for kHandOverMs. Requires: SIGPIPE
// is ignored or blocked in this thread.
bool hand_over(int fd, std::string_view text) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count > 0) {
      text.remove_prefix(static_cast<size_t>(count));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return false;
    pollfd polled{fd, POLLOUT, 0};
    if (::poll(&polled, 1, kHandOverMs) <= 0) return false;
  }
  return true;
}

// Blocks SIGPIPE for a scope, and swallows one that came: the reader may be gone at any time.
class NoSigpipe {
 public:
  NoSigpipe() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec now{};
    if (!::sigismember(&before_, SIGPIPE)) ::sigtimedwait(&pipe_, nullptr, &now);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_{}, before_{};
};

}  // namespace

std::string trainer_identity(const nlohmann::json& job) {
  nlohmann::json shared = job;
  for (const char* own : {"candidate", "session", "test"}) shared.erase(own);
  const std::filesystem::path program = trainer_program();
  struct stat file {};
  if (::stat(program.c_str(), &file) != 0) return "";
  return fmt::format("{} {}:{}:{}:{}.{:09} {}", program.string(), file.st_dev, file.st_ino,
                     file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec, shared.dump());
}

Result<std::unique_ptr<ReadyTrainer>> ReadyTrainer::start(const std::filesystem::path& parent,
                                                          std::string_view prefix,
                                                          nlohmann::json job) {
  std::string identity = trainer_identity(job);
  job["candidate"] = nullptr;
  BITLOOP_ASSIGN(folder, TemporaryFolder::make(parent, prefix));
  std::unique_ptr<ReadyTrainer> trainer(new ReadyTrainer(std::move(folder), std::move(identity)));
  BITLOOP_ASSIGN(ends, make_pipe());
  BITLOOP_TRY(write_job(trainer->folder_.path(), job, /*durable=*/false));
  BITLOOP_ASSIGN(supervisor, launch_supervisor(trainer->folder_.path(), ends.read.get()));
  trainer->supervisor_ = supervisor;
  trainer->pipe_ = std::move(ends.write);
  return trainer;
}

ReadyTrainer::~ReadyTrainer() {
  if (ended()) return;
  pipe_.reset();
  ::kill(supervisor_, SIGTERM);
  const auto start = std::chrono::steady_clock::now();
  while (!ended()) {
    if (std::chrono::steady_clock::now() - start > kEndGrace) ::kill(supervisor_, SIGKILL);
    std::this_thread::sleep_for(1ms);
  }
}

bool ReadyTrainer::ended() {
  if (supervisor_ > 0 && reap_supervisor(supervisor_)) supervisor_ = -1;
  return supervisor_ <= 0;
}

std::optional<Verdict> ReadyTrainer::check(const nlohmann::json& candidate, int timeout_ms) {
  if (ended()) return std::nullopt;
  {
    const NoSigpipe guard;
    if (!hand_over(pipe_.get(), candidate.dump())) return std::nullopt;
  }
  pipe_.reset();
  Verdict verdict = wait_now(folder_.path(), supervisor_, timeout_ms);
  supervisor_ = -1;
  if (verdict.status == "infrastructure") return std::nullopt;
  return verdict;
}

}  // namespace bitloop::jobs
