#include "sandbox/jail.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "sandbox/cgroup.h"
#include "sandbox/deadline.h"
#include "sandbox/landlock.h"
#include "sandbox/launch.h"
#include "sandbox/memory_watch.h"
#include "sandbox/namespaces.h"
#include "sandbox/seccomp.h"

namespace bitloop::sandbox {
namespace {

constexpr int kMemoryPollMs = 50;

void lose_what_the_kernel_lacks(LayerSet& layers) {
  if (layers.has(Layer::kLandlock))
    if (const int abi = landlock_abi(); abi < 0)
      layers.lose(Layer::kLandlock, fmt::format("not in this kernel ({})", std::strerror(-abi)));
  if (layers.has(Layer::kSeccomp) && !seccomp_available())
    layers.lose(Layer::kSeccomp, "the kernel has no system-call filters");
}

// Root gives the output folder, and what is in it, to the jail's user; and takes it back
// afterwards. Links are not followed.
void give_folder(const std::filesystem::path& folder, uid_t uid, gid_t gid) {
  std::error_code error;
  (void)!::lchown(folder.c_str(), uid, gid);
  // Stepped by hand: the range-for's ++ throws where a folder can't be read.
  for (std::filesystem::recursive_directory_iterator entry(folder, error), end;
       !error && entry != end; entry.increment(error))
    (void)!::lchown(entry->path().c_str(), uid, gid);
}

}  // namespace

void take_back_output(const std::filesystem::path& folder) {
  give_folder(folder, ::geteuid(), ::getegid());
}

struct Jail::State {
  explicit State(const Policy& p) : policy(p), layers(p.disable_for_test) {}

  Policy policy;
  LayerSet layers;
  Launched launched;
  std::optional<ControlGroup> group;
  Deadline deadline{std::chrono::milliseconds(0)};
  bool gave_output = false;
  bool reaped = false;

  void kill() { kill_process(launched.init_fd.get()); }

  // Waits for the init; the kernel has ended everything else in its namespace by then.
  rusage reap() {
    rusage usage{};
    while (::wait4(launched.init, nullptr, 0, &usage) < 0 && errno == EINTR) {
    }
    reaped = true;
    return usage;
  }

  ~State() {
    if (launched.init > 0 && !reaped) {
      kill();
      reap();
    }
    if (gave_output) take_back_output(policy.output);
  }
};

Jail::Jail(std::unique_ptr<State> state) : state_(std::move(state)) {}
Jail::Jail(Jail&&) noexcept = default;

Jail::~Jail() = default;

Result<Jail> Jail::start(const Policy& policy, std::vector<LayerState>* states) {
  auto state = std::make_unique<State>(policy);
  LayerSet& layers = state->layers;
  const auto refuse = [&](std::string code, std::string message) {
    if (states) *states = layers.states();
    return fail(std::move(code), std::move(message));
  };
  lose_what_the_kernel_lacks(layers);
  if (policy.network)
    layers.lose(Layer::kNetNamespace, "ranks on several machines need the network");
  auto planned = plan_mounts(policy);
  if (!planned) return refuse(planned.error().code, planned.error().message);
  if (layers.has(Layer::kCgroup)) {
    if (auto group = ControlGroup::make(policy.memory_bytes, policy.threads + 16))
      state->group.emplace(std::move(*group));
    else
      layers.lose(Layer::kCgroup, group.error().message);
  }

  // A refused layer shows only in the attempt. With allow_degraded the next attempt goes without
  // it.
  for (int attempt = 0; attempt <= kLayerCount; ++attempt) {
    if (layers.degraded() && !policy.allow_degraded)
      return refuse("sandbox_unavailable", layers.refusal());
    const bool other_user = ::geteuid() == 0 && layers.has(Layer::kUserNamespace);
    if (other_user) {
      if (auto readable = check_readable_by_others(*planned); !readable)
        return refuse(readable.error().code, readable.error().message);
      if (policy.output_writable && !policy.output.empty()) {
        give_folder(policy.output, outer_uid(), outer_gid());
        state->gave_output = true;
      }
    }
    state->deadline =
        Deadline(layers.has(Layer::kDeadline) ? policy.deadline : std::chrono::milliseconds(0));
    auto launched =
        launch(policy, layers, *planned, layers.has(Layer::kCgroup) ? &*state->group : nullptr);
    if (launched) {
      state->launched = std::move(*launched);
      if (states) *states = layers.states();
      return Jail(std::move(state));
    }
    const LaunchFailure& failure = launched.error();
    if (failure.folder_closed)
      return refuse(
          "not_readable",
          fmt::format("{}: the jail's user can't enter it ({}), and without the layer "
                      "file_system it has to; chmod a+x it and the folders above it",
                      policy.output.parent_path().string(), std::strerror(failure.error)));
    if (failure.no_procfs)
      return refuse("sandbox_unavailable",
                    fmt::format("the kernel refuses the jail a procfs of its own ({}), without "
                                "which CUDA does not begin; use a machine or a container that "
                                "masks nothing below /proc, or stay on the CPU",
                                std::strerror(failure.error)));
    if (!failure.layer)
      return refuse("not_executable",
                    fmt::format("{} can't be executed in the jail: {}", policy.program.string(),
                                std::strerror(failure.error)));
    if (*failure.layer == Layer::kUserNamespace) probe_namespaces(layers);
    layers.lose(*failure.layer,
                fmt::format("the kernel refuses it: {}", std::strerror(failure.error)));
  }
  return refuse("sandbox_unavailable", layers.refusal());
}

void Jail::restart_deadline(std::chrono::milliseconds limit) {
  state_->deadline =
      Deadline(state_->layers.has(Layer::kDeadline) ? limit : std::chrono::milliseconds(0));
}

Verdict Jail::wait(std::span<const Stream> streams, int cancel_fd) {
  State& state = *state_;
  Verdict verdict;
  const auto kill_for = [&](KilledBy reason) {
    if (verdict.killed_by) return;
    verdict.killed_by = reason;
    state.kill();
  };

  enum { kInit, kCancel, kFirstStream };
  std::vector<pollfd> polled{{state.launched.init_fd.get(), POLLIN, 0}, {cancel_fd, POLLIN, 0}};
  for (const Stream& stream : streams) {
    ::fcntl(stream.fd, F_SETFL, ::fcntl(stream.fd, F_GETFL) | O_NONBLOCK);
    polled.push_back({stream.fd, POLLIN, 0});
  }
  std::vector<char> buffer(65536);
  // Reads once; a stream that has ended, or has nothing more after the init's end, is taken off the
  // list.
  const auto read_stream = [&](size_t index, bool ended) {
    pollfd& entry = polled[kFirstStream + index];
    const ssize_t count = ::read(entry.fd, buffer.data(), buffer.size());
    if (count > 0) {
      if (const auto reason = streams[index].on_data({buffer.data(), static_cast<size_t>(count)}))
        kill_for(*reason);
    } else if (count == 0 || (errno != EINTR && (errno != EAGAIN || ended))) {
      entry.fd = -1;
    }
    return entry.fd >= 0;
  };

  Deadline next_look{std::chrono::milliseconds(kMemoryPollMs)};
  uint64_t largest_seen = 0;  // what the init never reaped is not in its usage
  while (true) {
    if (::poll(polled.data(), polled.size(), state.deadline.poll_timeout(kMemoryPollMs)) < 0 &&
        errno != EINTR) {
      kill_for(KilledBy::kCancelled);
      break;
    }
    if (polled[kInit].revents) break;
    if (polled[kCancel].revents) {
      kill_for(KilledBy::kCancelled);
      polled[kCancel].fd = -1;
    }
    for (size_t i = 0; i < streams.size(); ++i)
      if (polled[kFirstStream + i].fd >= 0 && polled[kFirstStream + i].revents)
        read_stream(i, false);
    if (state.deadline.passed()) kill_for(KilledBy::kDeadline);
    if (next_look.passed()) {
      next_look = Deadline{std::chrono::milliseconds(kMemoryPollMs)};
      const auto resident = resident_bytes_of_children(state.launched.init);
      largest_seen = std::max<uint64_t>(largest_seen, resident);
      if (state.layers.has(Layer::kMemory) && resident > state.policy.memory_bytes)
        kill_for(KilledBy::kMemory);
    }
  }
  for (size_t i = 0; i < streams.size(); ++i)
    while (polled[kFirstStream + i].fd >= 0 && read_stream(i, true)) {
    }

  verdict.wall_ms = state.deadline.elapsed().count();
  const bool kernel_out_of_memory = state.group && state.group->out_of_memory();
  const rusage usage = state.reap();
  const auto ms = [](const timeval& time) { return time.tv_sec * 1000 + time.tv_usec / 1000; };
  verdict.cpu_ms = ms(usage.ru_utime) + ms(usage.ru_stime);
  verdict.max_rss_mb =
      std::max<int64_t>(usage.ru_maxrss / 1024, static_cast<int64_t>(largest_seen >> 20));
  verdict.layers = state.layers.states();

  ProgramEnd end{0, SIGKILL};  // no word from the init: it was killed, and the program with it
  const auto word = read_all(state.launched.status_fd.get(), sizeof end);
  if (word && word->size() == sizeof end) std::memcpy(&end, word->data(), sizeof end);
  verdict.process = end.process;
  if (WIFEXITED(end.status))
    verdict.exit_code = WEXITSTATUS(end.status);
  else
    verdict.signal = WTERMSIG(end.status);
  if (!verdict.killed_by && verdict.signal) {
    const bool out_of_time = verdict.cpu_ms >= 1000 * state.policy.cpu_time.count();
    if (verdict.signal == SIGSYS)
      verdict.killed_by = KilledBy::kSeccomp;
    else if (verdict.signal == SIGXFSZ)
      verdict.killed_by = KilledBy::kFileSize;
    else if (verdict.signal == SIGXCPU)
      verdict.killed_by = KilledBy::kCpu;
    else if (verdict.signal == SIGKILL && kernel_out_of_memory)
      verdict.killed_by = KilledBy::kMemory;
    else if (verdict.signal == SIGKILL && out_of_time)
      verdict.killed_by = KilledBy::kCpu;
  }
  state.group.reset();
  return verdict;
}

const char* killed_by_name(KilledBy reason) {
  switch (reason) {
    case KilledBy::kDeadline:
      return "deadline";
    case KilledBy::kMemory:
      return "memory";
    case KilledBy::kSeccomp:
      return "seccomp";
    case KilledBy::kFileSize:
      return "file_size";
    case KilledBy::kCpu:
      return "cpu";
    case KilledBy::kEvents:
      return "events";
    case KilledBy::kCancelled:
      return "cancelled";
  }
  return "";
}

std::vector<LayerState> probe(const std::set<std::string>& disabled_for_test) {
  LayerSet layers(disabled_for_test);
  lose_what_the_kernel_lacks(layers);
  probe_namespaces(layers);
  if (const std::string obstacle = control_group_obstacle(); !obstacle.empty())
    layers.lose(Layer::kCgroup, obstacle);
  return layers.states();
}

}  // namespace bitloop::sandbox
