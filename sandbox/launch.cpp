#include "sandbox/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "sandbox/capabilities.h"
#include "sandbox/cgroup.h"
#include "sandbox/child.h"
#include "sandbox/descriptors.h"
#include "sandbox/landlock.h"
#include "sandbox/limits.h"
#include "sandbox/namespaces.h"
#include "sandbox/seccomp.h"

namespace bitloop::sandbox {
namespace {

constexpr char kHostName[] = "bitloop";

// Everything the child uses, allocated before it exists.
struct Prepared {
  const LayerSet& layers;
  MountPlan& plan;
  const Policy& policy;
  std::vector<char*> argv, envp;
  std::vector<sock_filter> filter;
  std::vector<Limit> limits;
  std::vector<pid_t> processes;  // the program's and its companions', as the init starts them
  std::string program, working_folder;
  int landlock_version = 0;
  bool caller_is_root = false;
  bool sources_cloned = false;
  UniqueFd go_read,
      go_write;  // the parent lets the child go on; at its death the read end hangs up
  UniqueFd report_read, report_write;  // ChildFailure, closed by exec
  UniqueFd status_read, status_write;  // the program's wait status
};

// clone(2) as fork: the child runs on a copy of this stack. Raw, since glibc has no fork with
// flags.
pid_t raw_clone(int flags, int* pidfd) {
  return static_cast<pid_t>(::syscall(SYS_clone, static_cast<unsigned long>(flags) | SIGCHLD,
                                      nullptr, pidfd, nullptr, nullptr));
}

[[noreturn]] void run_program(const Prepared& p, size_t index) {
  const int report = p.report_write.get();
  const auto require = [&](bool ok, Layer layer) { child_require(ok, report, layer); };
  // Without a process namespace the kernel does not end it with the init; this does.
  require(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, Layer::kDescriptors);
  require(::setsid() >= 0, Layer::kDescriptors);
  require(forbid_new_privileges(), Layer::kCapabilities);
  if (p.layers.has(Layer::kCapabilities)) require(drop_capabilities(), Layer::kCapabilities);
  if (p.layers.has(Layer::kLandlock))
    require(apply_landlock(p.plan, p.landlock_version, p.layers.has(Layer::kFileSystem),
                           p.policy.network),
            Layer::kLandlock);
  const std::vector<FdMapping>& descriptors =
      index == 0 ? p.policy.descriptors : p.policy.companions[index - 1];
  require(map_descriptors(descriptors, p.layers.has(Layer::kDescriptors)), Layer::kDescriptors);
  // After the descriptors, which are moved above what RLIMIT_NOFILE allows.
  require(apply_limits(p.limits), Layer::kRlimits);

  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  // The report pipe was moved by nobody: map_descriptors only writes the numbers below it.
  if (p.layers.has(Layer::kSeccomp)) require(install_filter(p.filter), Layer::kSeccomp);
  ::execve(p.program.c_str(), p.argv.data(), p.envp.data());
  child_fail(report, kExecFailed, errno);
}

[[noreturn]] void run_init(Prepared& p) {
  const int report = p.report_write.get();
  const auto require = [&](bool ok, Layer layer) { child_require(ok, report, layer); };
  ::setsid();
  char go = 0;
  if (::read(p.go_read.get(), &go, 1) != 1) ::_exit(1);

  if (p.layers.has(Layer::kFileSystem) && !p.sources_cloned)
    require(clone_sources(p.plan), Layer::kFileSystem);
  if (p.layers.has(Layer::kUserNamespace))
    require(become_inner_user(p.caller_is_root), Layer::kUserNamespace);
  bool procfs_refused = false;
  const bool entered = p.layers.has(Layer::kFileSystem) && enter_root(p.plan, procfs_refused);
  if (procfs_refused) child_fail(report, kNoProcfs, errno);
  if (p.layers.has(Layer::kFileSystem))
    require(entered, Layer::kFileSystem);
  else if (!p.working_folder.empty() && ::chdir(p.working_folder.c_str()) != 0)
    child_fail(report, kFolderClosed, errno);
  if (p.layers.has(Layer::kUtsNamespace))
    require(::sethostname(kHostName, sizeof kHostName - 1) == 0, Layer::kUtsNamespace);

  // After the change of user, which clears it; and in case the parent died just before, its end of
  // the pipe is asked.
  require(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, Layer::kDeadline);
  pollfd parent{p.go_read.get(), POLLIN, 0};
  if (::poll(&parent, 1, 0) != 0) ::_exit(1);

  for (size_t i = 0; i < p.processes.size(); ++i) {
    const pid_t program = raw_clone(0, nullptr);
    if (program == 0) run_program(p, i);
    require(program > 0, Layer::kRlimits);
    p.processes[i] = program;
  }
  // Nothing that could be worth reading or writing stays here.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const int status_fd = ::dup2(p.status_write.get(), 0);
  ::syscall(SYS_close_range, 1, ~0U, 0);
  forbid_new_privileges();
  drop_capabilities();
  while (true) {
    int status = 0;
    const pid_t ended = static_cast<pid_t>(::syscall(SYS_wait4, -1, &status, 0, nullptr));
    if (ended < 0 && errno != EINTR) ::_exit(1);
    for (size_t i = 0; i < p.processes.size(); ++i) {
      // A companion that is done, or an orphan, is no end.
      if (ended != p.processes[i] || (i > 0 && status == 0)) continue;
      const ProgramEnd end{static_cast<unsigned>(i), status};
      [[maybe_unused]] const ssize_t sent = ::write(status_fd, &end, sizeof end);
      ::_exit(0);
    }
  }
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

void reap(pid_t child) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool can_clone(int flags) {
  const pid_t child = raw_clone(flags, nullptr);
  if (child == 0) ::_exit(0);
  if (child < 0) return false;
  reap(child);
  return true;
}

}  // namespace

void child_fail(int report_fd, int layer, int error) {
  const ChildFailure failure{layer, error};
  [[maybe_unused]] const ssize_t sent = ::write(report_fd, &failure, sizeof failure);
  ::_exit(1);
}

void probe_namespaces(LayerSet& layers) {
  const int all = clone_flags(layers);
  if (all == 0 || can_clone(all)) return;
  const auto lose = [&](Layer layer) {
    layers.lose(layer, std::string("the kernel refuses it: ") + std::strerror(errno));
  };
  if (!can_clone(CLONE_NEWUSER)) return lose(Layer::kUserNamespace);
  for (const Layer layer : {Layer::kMountNamespace, Layer::kPidNamespace, Layer::kNetNamespace,
                            Layer::kIpcNamespace, Layer::kUtsNamespace}) {
    LayerSet one;
    for (const Layer other : {Layer::kMountNamespace, Layer::kPidNamespace, Layer::kNetNamespace,
                              Layer::kIpcNamespace, Layer::kUtsNamespace})
      if (other != layer) one.lose(other, "");
    if (layers.has(layer) && !can_clone(clone_flags(one))) lose(layer);
  }
}

std::expected<Launched, LaunchFailure> launch(const Policy& policy, const LayerSet& layers,
                                              MountPlan& plan, const ControlGroup* group) {
  const auto failed = [](std::optional<Layer> layer, int error) {
    return std::unexpected(LaunchFailure{layer, error, false, false});
  };
  Prepared p{layers, plan, policy, {}, {},    {},    plan_limits(policy, layers),
             {},     {},   {},     0,  false, false, {},
             {},     {},   {},     {}, {}};
  p.processes.resize(1 + policy.companions.size(), -1);
  const bool inside = layers.has(Layer::kFileSystem);
  plan.procfs = policy.gpu && layers.has(Layer::kPidNamespace);
  const std::filesystem::path program = policy.program.lexically_normal();
  p.program = program.string();
  if (!inside && !policy.output.empty()) p.working_folder = policy.output.parent_path().string();
  std::vector<std::string> arguments = policy.arguments;
  arguments.insert(arguments.begin(), program.filename().string());
  std::vector<std::string> environment = policy.environment;
  p.argv = pointers(arguments);
  p.envp = pointers(environment);
  p.caller_is_root = ::geteuid() == 0;
  p.landlock_version = landlock_abi();
  if (layers.has(Layer::kSeccomp)) {
    auto filter = build_load_filter(policy.gpu.has_value(), policy.network);
    if (!filter) return failed(Layer::kSeccomp, EINVAL);
    p.filter = std::move(*filter);
  }
  for (auto [read, write] : {std::pair{&p.go_read, &p.go_write},
                             {&p.report_read, &p.report_write},
                             {&p.status_read, &p.status_write}}) {
    auto ends = make_pipe();
    if (!ends) return failed(Layer::kDescriptors, errno);
    *read = std::move(ends->read);
    *write = std::move(ends->write);
  }

  // Root opens the sources itself: the child has lost the right to enter other users' folders.
  // Where that is refused (a container's root), the child tries.
  if (inside && p.caller_is_root) p.sources_cloned = clone_sources(plan);
  int pidfd = -1;
  const pid_t init = raw_clone(clone_flags(layers) | CLONE_PIDFD, &pidfd);
  if (init == 0) {
    p.go_write.reset();
    p.report_read.reset();
    p.status_read.reset();
    run_init(p);
  }
  const int clone_error = errno;
  close_sources(plan);
  if (init < 0) return failed(Layer::kUserNamespace, clone_error);
  Launched launched{init, UniqueFd(pidfd), std::move(p.status_read)};
  p.report_write.reset();
  p.status_write.reset();
  p.go_read.reset();

  const auto abandon = [&](std::optional<Layer> layer, int error) {
    ::syscall(SYS_pidfd_send_signal, launched.init_fd.get(), SIGKILL, nullptr, 0);
    reap(init);
    return failed(layer, error);
  };
  if (layers.has(Layer::kUserNamespace) && !write_id_maps(init))
    return abandon(Layer::kUserNamespace, errno);
  if (group && !group->add(init)) return abandon(Layer::kCgroup, errno);
  if (!write_all(p.go_write.get(), "g")) return abandon(Layer::kUserNamespace, EPIPE);
  ChildFailure failure{};
  const auto report = read_all(p.report_read.get(), sizeof failure);
  if (report && report->size() == sizeof failure) {
    std::memcpy(&failure, report->data(), sizeof failure);
    if (failure.layer >= 0) return abandon(static_cast<Layer>(failure.layer), failure.error);
    auto ended = abandon(std::nullopt, failure.error);
    ended.error().folder_closed = failure.layer == kFolderClosed;
    ended.error().no_procfs = failure.layer == kNoProcfs;
    return std::unexpected(ended.error());
  }
  return launched;
}

}  // namespace bitloop::sandbox
