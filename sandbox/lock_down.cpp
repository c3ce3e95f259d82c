#include "sandbox/lock_down.h"

#include <fmt/format.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>

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

int add_rules(scmp_filter_ctx filter) {
  for (const int call : kAllowed)
    if (const int code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0); code != 0) return code;

  const auto add = [&](uint32_t action, int call, auto... conditions) {
    return seccomp_rule_add(filter, action, call, sizeof...(conditions), conditions...);
  };
  const auto masked = [](unsigned argument, scmp_datum_t mask, scmp_datum_t value) {
    return scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, mask, value};
  };
  const uint32_t refused = SCMP_ACT_ERRNO(EACCES);
  int code = 0;
  // mmap(address, length, prot, flags, fd, offset): anonymous and not executable.
  code |= add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), masked(2, PROT_EXEC, 0),
              masked(3, MAP_ANONYMOUS, MAP_ANONYMOUS));
  code |= add(refused, SCMP_SYS(mmap), masked(2, PROT_EXEC, PROT_EXEC));
  code |= add(refused, SCMP_SYS(mmap), masked(3, MAP_ANONYMOUS, 0));
  code |= add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
  code |= add(refused, SCMP_SYS(mprotect), masked(2, PROT_EXEC, PROT_EXEC));
  code |= add(SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl));
  code |= add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(newfstatat));
  // abort() signals its own thread; a thread of another process can't be named, as the process is
  // fixed.
  code |= add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
              scmp_arg_cmp{0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid()), 0},
              scmp_arg_cmp{2, SCMP_CMP_EQ, SIGABRT, 0});
  return code;
}

}  // namespace

Status lock_down(LockDownProfile profile) {
  if (profile != LockDownProfile::kCpu)
    return fail("sandbox_unavailable", "there is no such system-call profile; use kCpu");
  Filter filter(seccomp_init(SCMP_ACT_KILL_PROCESS), &seccomp_release);
  if (!filter) return fail("sandbox_unavailable", "out of memory while the filter was built");
  int code = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (code == 0)
    code = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (code == 0) code = add_rules(filter.get());
  if (code == 0) code = seccomp_load(filter.get());
  if (code != 0)
    return fail("sandbox_unavailable",
                fmt::format("the kernel refused the narrow system-call filter ({}); a kernel with "
                            "CONFIG_SECCOMP_FILTER is needed",
                            std::strerror(-code)));
  return {};
}

}  // namespace bitloop::sandbox
