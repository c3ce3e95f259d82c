#include "harness/jobs/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/jobs/cancelled.h"
#include "harness/jobs/job.h"

namespace bitloop::jobs {
namespace {

using nlohmann::json;

constexpr size_t kMaxVerdictBytes = size_t{16} << 20;

bool is_locked(const std::filesystem::path& path) {
  const auto fd = open_file(path, O_RDWR);
  if (!fd) return false;  // never made: nobody holds it
  return ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

// posix_spawn's two attribute objects, destroyed together.
struct SpawnSettings {
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

std::vector<std::string> string_list(const json& list) {
  std::vector<std::string> strings;
  if (!list.is_array()) return strings;
  for (const json& item : list)
    if (item.is_string()) strings.push_back(item.get<std::string>());
  return strings;
}

}  // namespace

Verdict infrastructure_verdict(std::string message) {
  return Verdict{"infrastructure", std::move(message), nullptr, {}, nullptr};
}

Status write_job(const std::filesystem::path& run_dir, const json& job, bool durable) {
  std::error_code error;
  std::filesystem::create_directories(run_dir, error);
  if (error) return std::unexpected(errno_error(run_dir.string(), error.value()));
  const auto write = durable ? write_file_atomic : replace_file;
  return write(run_dir / "job.json", job.dump(1) + "\n");
}

Result<pid_t> launch_supervisor(const std::filesystem::path& run_dir, int input) {
  BITLOOP_ASSIGN(lock, open_file(run_dir / "launch.lock", O_RDWR | O_CREAT));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return fail("already_running",
                fmt::format("{} already has a supervisor; wait for it to end", run_dir.string()));

  // Of a supervisor that is gone: its id may be another process's by now.
  (void)!::truncate((run_dir / "supervisor.lock").c_str(), 0);

  const char* hook = std::getenv("BITLOOP_SUPERVISOR");
  // Not /proc/self/exe itself: the supervisor's own name should lead to its program, too.
  const bool hooked = hook != nullptr && *hook != '\0';
  std::string program = hooked ? hook : executable_path().string();
  std::string verb = "supervise";
  std::string folder = std::filesystem::absolute(run_dir).string();
  std::vector<char*> argv = {program.data()};
  if (!hooked) argv.push_back(verb.data());
  argv.push_back(folder.data());
  argv.push_back(nullptr);

  SpawnSettings settings;
  const std::string log = folder + "/supervisor.log";
  if (input >= 0)
    ::posix_spawn_file_actions_adddup2(&settings.actions, input, 0);
  else
    ::posix_spawn_file_actions_addopen(&settings.actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&settings.actions, 1, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::posix_spawn_file_actions_adddup2(&settings.actions, 1, 2);
  // Onto itself: clears close-on-exec in the child alone, which so keeps the lock.
  ::posix_spawn_file_actions_adddup2(&settings.actions, lock.get(), lock.get());
  sigset_t all_signals;
  sigset_t no_signals;
  ::sigfillset(&all_signals);
  ::sigemptyset(&no_signals);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &all_signals);
  ::posix_spawnattr_setsigmask(&settings.attributes, &no_signals);
  ::posix_spawnattr_setflags(&settings.attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), &settings.actions, &settings.attributes,
                                  argv.data(), environ);
  if (error != 0) return std::unexpected(errno_error("start " + program, error));
  return pid;
}

bool reap_supervisor(pid_t pid) {
  const pid_t collected = ::waitpid(pid, nullptr, WNOHANG);
  return collected == pid || (collected < 0 && errno == ECHILD);
}

bool run_is_alive(const std::filesystem::path& run_dir) {
  // In this order: while launch.lock is held, supervisor.lock is not touched, so the supervisor's
  // own attempt to take it never meets this probe.
  return is_locked(run_dir / "launch.lock") || is_locked(run_dir / "supervisor.lock");
}

bool run_has_verdict(const std::filesystem::path& run_dir) {
  std::error_code ignored;
  return std::filesystem::exists(run_dir / "verdict.json", ignored);
}

bool run_can_resume(const std::filesystem::path& run_dir) {
  std::error_code ignored;
  if (!std::filesystem::exists(run_dir / "events.jsonl", ignored) || run_is_cancelled(run_dir))
    return false;
  const auto job = read_job(run_dir / "job.json");
  return job && job->checkpoints();
}

Verdict read_verdict(const std::filesystem::path& run_dir) {
  const auto text = read_file(run_dir / "verdict.json", kMaxVerdictBytes);
  if (!text)
    return infrastructure_verdict("The run's supervisor ended without a verdict; test again.");
  const json document = json::parse(*text, nullptr, false);
  if (!document.is_object() || !document.contains("status") || !document["status"].is_string())
    return infrastructure_verdict("The run's verdict.json is damaged; test again.");
  Verdict verdict;
  verdict.status = document["status"];
  if (const auto found = document.find("message"); found != document.end() && found->is_string())
    verdict.message = *found;
  verdict.result = document.value("result", json());
  verdict.flags = string_list(document.value("flags", json()));
  verdict.jail = document.value("jail", json());
  return verdict;
}

}  // namespace bitloop::jobs
