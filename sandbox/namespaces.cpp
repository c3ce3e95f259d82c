#include "sandbox/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/base/fd.h"

namespace bitloop::sandbox {
namespace {

constexpr uid_t kOuterBase = 0x6b170000;  // above systemd's and every distribution's ranges

Status write_proc(pid_t child, const char* name, const std::string& text) {
  const std::string path = fmt::format("/proc/{}/{}", child, name);
  BITLOOP_ASSIGN(fd, open_file(path, O_WRONLY));
  return write_all(fd.get(), text);
}

}  // namespace

int clone_flags(const LayerSet& layers) {
  int flags = 0;
  if (layers.has(Layer::kUserNamespace)) flags |= CLONE_NEWUSER;
  if (layers.has(Layer::kMountNamespace)) flags |= CLONE_NEWNS;
  if (layers.has(Layer::kPidNamespace)) flags |= CLONE_NEWPID;
  if (layers.has(Layer::kNetNamespace)) flags |= CLONE_NEWNET;
  if (layers.has(Layer::kIpcNamespace)) flags |= CLONE_NEWIPC;
  if (layers.has(Layer::kUtsNamespace)) flags |= CLONE_NEWUTS;
  return flags;
}

uid_t outer_uid() {
  const uid_t uid = ::geteuid();
  return uid == 0 ? kOuterBase + static_cast<uid_t>(::getpid() & 0xffff) : uid;
}

gid_t outer_gid() { return ::geteuid() == 0 ? static_cast<gid_t>(outer_uid()) : ::getegid(); }

Status write_id_maps(pid_t child) {
  // A plain user may map its own group only after giving up setgroups.
  if (::geteuid() != 0) BITLOOP_TRY(write_proc(child, "setgroups", "deny"));
  BITLOOP_TRY(write_proc(child, "uid_map", fmt::format("{} {} 1\n", kInnerUid, outer_uid())));
  return write_proc(child, "gid_map", fmt::format("{} {} 1\n", kInnerUid, outer_gid()));
}

bool become_inner_user(bool drop_groups) {
  // The raw calls: glibc's wrappers would signal other threads, and there are none here.
  if (drop_groups && ::syscall(SYS_setgroups, 0, nullptr) != 0) return false;
  return ::syscall(SYS_setresgid, kInnerUid, kInnerUid, kInnerUid) == 0 &&
         ::syscall(SYS_setresuid, kInnerUid, kInnerUid, kInnerUid) == 0;
}

}  // namespace bitloop::sandbox
