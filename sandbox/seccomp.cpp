#include "sandbox/seccomp.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "harness/base/fd.h"
#include "sandbox/gpu_calls.h"

namespace bitloop::sandbox {
namespace {

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

constexpr int kAllowed[] = {
    // files and descriptors
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(lseek),
    SCMP_SYS(stat),
    SCMP_SYS(fstat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    SCMP_SYS(fcntl),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(eventfd2),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fadvise64),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(umask),
    // memory
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(msync),
    SCMP_SYS(mincore),
    SCMP_SYS(membarrier),
    SCMP_SYS(get_mempolicy),
    // threads, time, signals to itself
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(getcpu),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(times),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(tgkill),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(execve),
    // about itself
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpriority),
    SCMP_SYS(wait4),
    SCMP_SYS(seccomp),
};

constexpr int kKilled[] = {
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(bpf),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(memfd_create),
    SCMP_SYS(memfd_secret),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(quotactl),
    SCMP_SYS(acct),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(personality),
};

// Of these: not killed when there is a GPU, as the driver may try them. All are refused then but
// the last, which is allowed.
constexpr int kTried[] = {
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_getfd),      SCMP_SYS(perf_event_open),   SCMP_SYS(personality),
    SCMP_SYS(memfd_create)};

constexpr int kAllowedWithGpu[] = {SCMP_SYS(bind),
                                   SCMP_SYS(listen),
                                   SCMP_SYS(getsockname),
                                   SCMP_SYS(memfd_create),
                                   SCMP_SYS(mlock),
                                   SCMP_SYS(munlock),
                                   SCMP_SYS(sched_get_priority_max),
                                   SCMP_SYS(sched_get_priority_min)};

// TCP, and waiting for it as Gloo does.
constexpr int kAllowedWithNetwork[] = {
    SCMP_SYS(connect),      SCMP_SYS(bind),          SCMP_SYS(listen),      SCMP_SYS(accept),
    SCMP_SYS(accept4),      SCMP_SYS(getsockname),   SCMP_SYS(getpeername), SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),     SCMP_SYS(sendmsg),       SCMP_SYS(recvmsg),     SCMP_SYS(shutdown),
    SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),   SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),  SCMP_SYS(getsockopt),    SCMP_SYS(setsockopt),  SCMP_SYS(uname)};

constexpr unsigned kSocketTypes = 0xf;  // the flags are above

// prctl: what libc, libseccomp and thread names need.
constexpr int kPrctl[] = {PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_SET_NAME, PR_GET_NAME,
                          PR_GET_DUMPABLE,     PR_CAPBSET_READ,     PR_SET_VMA};

// Options of a socket up to here are numbers; those after SO_SNDTIMEO load programs and more.
constexpr scmp_datum_t kLastPlainOption = SO_SNDTIMEO;

int add_gpu_rules(scmp_filter_ctx filter) {
  int code = 0;
  const auto allow = [&](int call, auto... conditions) {
    const int added =
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, sizeof...(conditions), conditions...);
    if (code == 0) code = added;
  };
  const auto masked = [](unsigned argument, scmp_datum_t mask, scmp_datum_t value) {
    return scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, mask, value};
  };
  for (const int call : kAllowedWithGpu) allow(call);
  allow(SCMP_SYS(ioctl), masked(1, kDriverMask, kDriverRequest));
  for (const uint32_t request : unified_memory_requests())
    allow(SCMP_SYS(ioctl), masked(1, 0xffffffff, request));
  for (const scmp_datum_t type : {SOCK_STREAM, SOCK_SEQPACKET})
    allow(SCMP_SYS(socket), scmp_arg_cmp{0, SCMP_CMP_EQ, AF_UNIX, 0},
          masked(1, kSocketTypes, type));
  allow(SCMP_SYS(getsockopt), scmp_arg_cmp{1, SCMP_CMP_EQ, SOL_SOCKET, 0});
  allow(SCMP_SYS(setsockopt), scmp_arg_cmp{1, SCMP_CMP_EQ, SOL_SOCKET, 0},
        scmp_arg_cmp{2, SCMP_CMP_LE, kLastPlainOption, 0});
  return code;
}

int add_network_rules(scmp_filter_ctx filter) {
  int code = 0;
  for (const int call : kAllowedWithNetwork)
    if (code == 0) code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
  for (const scmp_datum_t family : {AF_INET, AF_INET6})
    if (code == 0)
      code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                              scmp_arg_cmp{0, SCMP_CMP_EQ, family, 0},
                              scmp_arg_cmp{1, SCMP_CMP_MASKED_EQ, kSocketTypes, SOCK_STREAM});
  // Gloo asks the kernel for the interfaces' names.
  if (code == 0)
    code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
                            scmp_arg_cmp{0, SCMP_CMP_EQ, AF_NETLINK, 0},
                            scmp_arg_cmp{1, SCMP_CMP_MASKED_EQ, kSocketTypes, SOCK_RAW},
                            scmp_arg_cmp{2, SCMP_CMP_EQ, NETLINK_ROUTE, 0});
  return code;
}

int add_rules(scmp_filter_ctx filter, bool gpu, bool network) {
  int code = 0;
  const auto add = [&](uint32_t action, int call, auto... conditions) {
    const int added = seccomp_rule_add(filter, action, call, sizeof...(conditions), conditions...);
    if (code == 0) code = added;
  };
  for (const int call : kAllowed) add(SCMP_ACT_ALLOW, call);
  for (const int call : kKilled)
    if (!gpu || std::ranges::find(kTried, call) == std::end(kTried))
      add(SCMP_ACT_KILL_PROCESS, call);
  for (const int option : kPrctl)
    add(SCMP_ACT_ALLOW, SCMP_SYS(prctl),
        scmp_arg_cmp{0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(option), 0});
  for (const unsigned long request : {TCGETS, FIOCLEX, FIONBIO, FIONREAD})
    add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), scmp_arg_cmp{1, SCMP_CMP_MASKED_EQ, 0xffffffff, request});
  // Reading a limit, never setting one: new_limit is null.
  add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), scmp_arg_cmp{2, SCMP_CMP_EQ, 0, 0});
  add(SCMP_ACT_ALLOW, SCMP_SYS(clone),
      scmp_arg_cmp{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD});
  add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  if (gpu && code == 0) code = add_gpu_rules(filter);
  if (network && code == 0) code = add_network_rules(filter);
  return code;
}

}  // namespace

Result<std::vector<sock_filter>> build_load_filter(bool gpu, bool network) {
  const auto unavailable = [](int code) {
    return fail("sandbox_unavailable",
                fmt::format("the system-call filter could not be built: {}", std::strerror(code)));
  };
  Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)), &seccomp_release);
  if (!filter) return unavailable(ENOMEM);
  int code = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  // A binary tree of rules: a few comparisons a call instead of a hundred.
  if (code == 0) code = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (code == 0) code = add_rules(filter.get(), gpu, network);
  if (code != 0) return unavailable(-code);

  UniqueFd memory(::memfd_create("filter", MFD_CLOEXEC));
  if (!memory.valid()) return unavailable(errno);
  code = seccomp_export_bpf(filter.get(), memory.get());
  if (code != 0) return unavailable(-code);
  const off_t size = ::lseek(memory.get(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<size_t>(size) / sizeof(sock_filter));
  if (::pread(memory.get(), program.data(), static_cast<size_t>(size), 0) != size)
    return unavailable(EIO);
  return program;
}

bool install_filter(const std::vector<sock_filter>& program) {
  sock_fprog filter{static_cast<unsigned short>(program.size()),
                    const_cast<sock_filter*>(program.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

bool seccomp_available() {
  const uint32_t action = SECCOMP_RET_KILL_PROCESS;
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

}  // namespace bitloop::sandbox
