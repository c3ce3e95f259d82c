#include "sandbox/lock_down.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/gpu_calls.h"
#include "sandbox/refusals.h"

namespace bitloop::sandbox {
namespace {

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// Every call that is allowed whatever its arguments are.
constexpr int kAllowed[] = {
    SCMP_SYS(read),           SCMP_SYS(write),
    SCMP_SYS(pread64),        SCMP_SYS(pwrite64),
    SCMP_SYS(readv),          SCMP_SYS(writev),
    SCMP_SYS(lseek),          SCMP_SYS(ftruncate),
    SCMP_SYS(fsync),          SCMP_SYS(fdatasync),
    SCMP_SYS(fstat),          SCMP_SYS(close),
    SCMP_SYS(munmap),         SCMP_SYS(mremap),
    SCMP_SYS(madvise),        SCMP_SYS(brk),
    SCMP_SYS(futex),          SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),   SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),      SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),      SCMP_SYS(getpid),
    SCMP_SYS(gettid),         SCMP_SYS(getrusage),
    SCMP_SYS(sched_yield),    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),         SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall),
    SCMP_SYS(sigaltstack),    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

// With CUDA. Its ioctl and mmap are narrowed by a filter of their own.
constexpr int kAllowedWithCuda[] = {SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(ioctl)};

// With connections to other machines. poll and ppoll are the GPU's, too.
constexpr int kAllowedWhenConnected[] = {
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),    SCMP_SYS(sendto),      SCMP_SYS(recvfrom)};

// What the driver and CUDA's libraries may try at any time, and go on without.
constexpr int kTried[] = {
    // looking at files
    SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(access),
    SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64), SCMP_SYS(getcwd),
    // more descriptors
    SCMP_SYS(eventfd2), SCMP_SYS(pipe2), SCMP_SYS(memfd_create),
    // memory
    SCMP_SYS(get_mempolicy), SCMP_SYS(set_mempolicy), SCMP_SYS(mbind), SCMP_SYS(mlock),
    SCMP_SYS(munlock), SCMP_SYS(mincore), SCMP_SYS(msync), SCMP_SYS(membarrier),
    // about itself and the machine
    SCMP_SYS(prctl), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(getrlimit), SCMP_SYS(times),
    SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
    SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_get_priority_max), SCMP_SYS(sched_get_priority_min)};

constexpr int kOpening[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2)};

constexpr unsigned kMostGpus = 32;
constexpr int kMostDescriptors = 4096;

// The descriptors of this process that are open on NVIDIA's device files.
std::vector<uint32_t> device_descriptors() {
  std::set<dev_t> devices;
  const auto add = [&](const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && S_ISCHR(info.st_mode)) devices.insert(info.st_rdev);
  };
  add("/dev/nvidiactl");
  add("/dev/nvidia-uvm");
  for (unsigned i = 0; i < kMostGpus; ++i) add(fmt::format("/dev/nvidia{}", i));
  std::vector<uint32_t> found;
  for (int fd = 0; fd < kMostDescriptors; ++fd) {
    struct stat info {};
    if (::fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) && devices.contains(info.st_rdev))
      found.push_back(static_cast<uint32_t>(fd));
  }
  return found;
}

// ioctl and mmap of the profile kCuda: "none of these values" is what libseccomp has no rule for.
// Everything else is left to the other filter; of two filters the stricter answer counts.
std::vector<sock_filter> cuda_arguments_filter(const std::vector<uint32_t>& descriptors,
                                               bool named) {
  constexpr auto argument = [](unsigned index) {  // its lower half
    return static_cast<uint32_t>(offsetof(seccomp_data, args) + index * sizeof(uint64_t));
  };
  std::vector<sock_filter> program;
  const auto load = [&](uint32_t offset) {
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
  };
  const auto keep_bits = [&](uint32_t mask) {
    program.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
  };
  const auto answer = [&](uint32_t action) {
    program.push_back(BPF_STMT(BPF_RET | BPF_K, action));
  };
  const auto allow_if = [&](uint32_t value) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    answer(SECCOMP_RET_ALLOW);
  };
  const uint32_t refused_ioctl =
      named ? SECCOMP_RET_TRAP : SECCOMP_RET_ERRNO | static_cast<uint32_t>(ENOTTY);

  load(offsetof(seccomp_data, nr));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0));
  const size_t to_mmap = program.size();
  program.push_back(BPF_STMT(BPF_JMP | BPF_JA, 0));
  load(argument(1));
  for (const uint32_t request : unified_memory_requests()) allow_if(request);
  keep_bits(kDriverMask);
  allow_if(kDriverRequest);
  answer(refused_ioctl);
  program[to_mmap].k = static_cast<uint32_t>(program.size() - to_mmap - 1);
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0));
  answer(SECCOMP_RET_ALLOW);
  load(argument(3));
  keep_bits(MAP_ANONYMOUS);
  allow_if(MAP_ANONYMOUS);
  load(argument(4));
  for (const uint32_t descriptor : descriptors) allow_if(descriptor);
  answer(SECCOMP_RET_ERRNO | EACCES);
  return program;
}

// 0 or -errno, as libseccomp has it.
int install_for_all_threads(const std::vector<sock_filter>& program) {
  sock_fprog filter{static_cast<unsigned short>(program.size()),
                    const_cast<sock_filter*>(program.data())};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
  // More than 0: a thread that has other filters.
  const long code =
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
  return code == 0 ? 0 : code < 0 ? -errno : -ESRCH;
}

int add_rules(scmp_filter_ctx filter, LockDownProfile profile, bool connected, bool named) {
  for (const int call : kAllowed)
    if (const int code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0); code != 0) return code;

  const auto add = [&](uint32_t action, int call, auto... conditions) {
    return seccomp_rule_add(filter, action, call, sizeof...(conditions), conditions...);
  };
  const auto masked = [](unsigned argument, scmp_datum_t mask, scmp_datum_t value) {
    return scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, mask, value};
  };
  const bool cuda = profile == LockDownProfile::kCuda;
  const uint32_t refused = SCMP_ACT_ERRNO(EACCES);
  int code = 0;
  // mmap(address, length, prot, flags, fd, offset): anonymous and not executable.
  code |= add(refused, SCMP_SYS(mmap), masked(2, PROT_EXEC, PROT_EXEC));
  if (cuda) {
    code |= add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), masked(2, PROT_EXEC, 0));
  } else {
    code |= add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), masked(2, PROT_EXEC, 0),
                masked(3, MAP_ANONYMOUS, MAP_ANONYMOUS));
    code |= add(refused, SCMP_SYS(mmap), masked(3, MAP_ANONYMOUS, 0));
  }
  code |= add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
  code |= add(refused, SCMP_SYS(mprotect), masked(2, PROT_EXEC, PROT_EXEC));
  if (cuda) {
    for (const int call : kAllowedWithCuda) code |= add(SCMP_ACT_ALLOW, call);
    for (const int call : kTried) code |= add(SCMP_ACT_ERRNO(EPERM), call);
    // Flags of descriptors, of which none comes of it.
    for (const scmp_datum_t command : {F_GETFD, F_SETFD, F_GETFL})
      code |= add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), scmp_arg_cmp{1, SCMP_CMP_EQ, command, 0});
    for (const scmp_datum_t command : {F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC, F_ADD_SEALS})
      code |= add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fcntl), scmp_arg_cmp{1, SCMP_CMP_EQ, command, 0});
    // NVRTC reads a limit; setting one kills.
    code |= add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), scmp_arg_cmp{2, SCMP_CMP_EQ, 0, 0});
    // When named they are like any other call: libseccomp takes no rule that says the default.
    for (const int call : kOpening)
      if (!named) code |= add(refused, call);
  } else {
    code |= add(SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl));
  }
  if (connected) {
    for (const int call : kAllowedWhenConnected) code |= add(SCMP_ACT_ALLOW, call);
    for (const int call : {SCMP_SYS(accept), SCMP_SYS(accept4)})
      code |= add(SCMP_ACT_ERRNO(EPERM), call);
    if (!cuda) {
      for (const int call : {SCMP_SYS(poll), SCMP_SYS(ppoll)}) code |= add(SCMP_ACT_ALLOW, call);
      code |= add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl));  // c10d's threads want names
    }
  }
  code |= add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(newfstatat));
  // abort() signals its own thread; a thread of another process can't be named, as the process is
  // fixed.
  code |= add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
              scmp_arg_cmp{0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid()), 0},
              scmp_arg_cmp{2, SCMP_CMP_EQ, SIGABRT, 0});
  return code;
}

}  // namespace

Status lock_down(LockDownProfile profile, bool connected) {
  const char* hook = std::getenv("BITLOOP_LOCK_DOWN");
  if (hook && std::string_view(hook) == "off" && ::prctl(PR_GET_SECCOMP) == 0) return {};
  const bool named = std::getenv("BITLOOP_NAME_REFUSALS") != nullptr && name_refusals();
  Filter filter(seccomp_init(named ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS), &seccomp_release);
  if (!filter) return fail("sandbox_unavailable", "out of memory while the filter was built");
  int code = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (code == 0)
    code = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (code == 0) code = add_rules(filter.get(), profile, connected, named);
  if (code == 0 && profile == LockDownProfile::kCuda)
    code = install_for_all_threads(cuda_arguments_filter(device_descriptors(), named));
  if (code == 0) code = seccomp_load(filter.get());
  if (code != 0)
    return fail("sandbox_unavailable",
                fmt::format("the kernel refused the narrow system-call filter ({}); a kernel with "
                            "CONFIG_SECCOMP_FILTER is needed",
                            std::strerror(-code)));
  return {};
}

}  // namespace bitloop::sandbox
