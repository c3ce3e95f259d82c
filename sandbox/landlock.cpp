#include "sandbox/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace bitloop::sandbox {
namespace {

// Newer than the headers of Debian 12.
constexpr uint64_t kTruncate = 1ULL << 14;     // version 3
constexpr uint64_t kIoctlDevice = 1ULL << 15;  // version 5
constexpr uint64_t kNetBindConnect = 3;        // version 4: bind and connect of TCP
constexpr uint64_t kScopeAll = 3;              // version 6: abstract sockets and signals

struct RulesetAttributes {
  uint64_t handled_fs;
  uint64_t handled_net;
  uint64_t scoped;
};

constexpr uint64_t kReadFile = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t kReadFolder = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kWriteFolder = kReadFolder | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                  kTruncate;
constexpr uint64_t kProcessFiles = kReadFolder | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;

uint64_t handled_by(int abi) {
  uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
  if (abi >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) rights |= kTruncate;
  if (abi >= 5) rights |= kIoctlDevice;
  return rights;
}

bool allow(int ruleset, const char* path, uint64_t rights, uint64_t handled) {
  const int fd = ::open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return false;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights & handled;
  rule.parent_fd = fd;
  const bool added =
      ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
  const int error = errno;
  ::close(fd);
  errno = error;
  return added;
}

}  // namespace

int landlock_abi() {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version < 0 ? -errno : static_cast<int>(version);
}

bool apply_landlock(const MountPlan& plan, int abi, bool inside, bool network) {
  RulesetAttributes attributes{};
  const uint64_t handled = attributes.handled_fs = handled_by(abi);
  size_t size = sizeof attributes.handled_fs;
  if (abi >= 4) {
    attributes.handled_net = network ? 0 : kNetBindConnect;
    size += sizeof attributes.handled_net;
  }
  if (abi >= 6) {
    attributes.scoped = kScopeAll;
    size += sizeof attributes.scoped;
  }
  const int ruleset =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0));
  if (ruleset < 0) return false;

  bool done = true;
  for (const Bind& bind : plan.binds) {
    uint64_t rights = bind.is_folder ? (bind.writable ? kWriteFolder : kReadFolder) : kReadFile;
    if (bind.writable && !bind.is_folder) rights |= LANDLOCK_ACCESS_FS_WRITE_FILE;
    if (bind.program) rights |= LANDLOCK_ACCESS_FS_EXECUTE;
    if (bind.gpu) rights |= kIoctlDevice;
    done = done && allow(ruleset, (inside ? bind.target : bind.source).c_str(), rights, handled);
  }
  for (const TextFile& file : plan.topology)
    done = done && allow(ruleset, file.path.c_str(), kReadFile, handled);
  // Names of threads are written there; files of the init are not the program's to open.
  if (inside && plan.procfs) done = done && allow(ruleset, kProcesses, kProcessFiles, handled);
  if (inside && !plan.tmp_size.empty())
    done = done && allow(ruleset, "/tmp", kWriteFolder, handled);
  done = done && ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
  const int error = errno;
  ::close(ruleset);
  errno = error;
  return done;
}

}  // namespace bitloop::sandbox
