#include "sandbox/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "harness/base/fd.h"
#include "sandbox/elf.h"
#include "sandbox/gpu.h"

namespace bitloop::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSystemFolders[] = {"/usr/lib", "/usr/lib64", "/lib", "/lib64"};
constexpr const char* kDevices[] = {"/dev/null", "/dev/zero", "/dev/urandom"};
constexpr const char* kTopology[] = {
    "/proc/cpuinfo", "/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/present",
    "/sys/devices/system/cpu/online", "/sys/devices/system/cpu/kernel_max"};

std::string clean(const fs::path& path) {
  std::string text = path.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

Result<Bind> make_bind(const fs::path& path) {
  std::error_code error;
  if (!path.is_absolute())
    return fail("file_not_found", fmt::format("{}: the jail needs absolute paths", path.string()));
  const fs::path source = fs::canonical(path, error);
  if (error)
    return fail("file_not_found",
                fmt::format("{}: {}; the jailed program needs it", path.string(), error.message()));
  Bind bind;
  bind.source = source.string();
  bind.target = clean(path);
  bind.is_folder = fs::is_directory(source, error);
  return bind;
}

// A path below a system folder is there already, whatever it links to; so is one below an equal
// bind.
bool is_covered(const MountPlan& plan, const Bind& bind) {
  for (const Bind& other : plan.binds)
    if (is_below(bind.target, other.target) &&
        bind.source == other.source + bind.target.substr(other.target.size()))
      return true;
  for (const Link& link : plan.links)
    if (is_below(bind.target, link.path)) return true;
  return false;
}

// Makes the folders above `path` (absolute), relative to `root`.
bool make_parents(int root, const char* path) {
  char part[PATH_MAX];
  const size_t length = ::strlen(path);
  if (length >= sizeof part) return errno = ENAMETOOLONG, false;
  for (size_t i = 1; i < length; ++i) {
    if (path[i] != '/') continue;
    ::memcpy(part, path + 1, i - 1);
    part[i - 1] = '\0';
    if (::mkdirat(root, part, 0755) != 0 && errno != EEXIST) return false;
  }
  return true;
}

bool make_file(int root, const char* path) {
  const int fd = ::openat(root, path + 1, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
  return fd >= 0 && ::close(fd) == 0;
}

// A mounted memory file system that is not attached yet, or -1.
int make_tmpfs(const char* size) {
  const int context = ::fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  int mount = -1;
  if (::fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) == 0 &&
      ::fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", "4096", 0) == 0 &&
      ::fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) == 0 &&
      ::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
    mount = ::fsmount(context, FSMOUNT_CLOEXEC,
                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  const int error = errno;
  ::close(context);
  errno = error;
  return mount;
}

bool attach(int mount, int root, const char* path) {
  return ::move_mount(mount, "", root, path + 1, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

// A procfs without anything but processes, not attached yet, or -1. Those of this process's own
// namespace, which must have one.
int make_procfs() {
  const int context = ::fsopen("proc", FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  int mount = -1;
  if (::fsconfig(context, FSCONFIG_SET_STRING, "subset", "pid", 0) == 0 &&
      ::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
    mount = ::fsmount(context, FSMOUNT_CLOEXEC,
                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  const int error = errno;
  ::close(context);
  errno = error;
  return mount;
}

bool show_processes(int root) {
  const int mount = make_procfs();
  if (mount < 0) return false;
  // The program is the second process of its namespace, after the init.
  constexpr const char* kLinks[][2] = {{"processes/self", "proc/self"},
                                       {"processes/thread-self", "proc/thread-self"},
                                       {"processes/2", "proc/2"}};
  bool done = make_parents(root, kProcesses) && ::mkdirat(root, kProcesses + 1, 0755) == 0 &&
              attach(mount, root, kProcesses);
  for (const auto& [content, path] : kLinks) done = done && ::symlinkat(content, root, path) == 0;
  const int error = errno;
  ::close(mount);
  errno = error;
  return done;
}

// The device files, the libraries, and what CUDA reads about them.
Status plan_gpu(const Gpu& gpu, MountPlan& plan, std::vector<Bind>& wanted) {
  for (const Device& device : gpu.devices) {
    BITLOOP_ASSIGN(bind, make_bind(device.source));
    if (device.name.empty() || device.name.find('/') != std::string::npos)
      return fail("file_not_found", fmt::format("'{}' is no name of a device file", device.name));
    bind.target = "/dev/" + device.name;
    bind.device = bind.gpu = bind.writable = true;
    wanted.push_back(bind);
  }
  for (const fs::path& library : gpu.libraries) {
    BITLOOP_ASSIGN(bind, make_bind(library));
    bind.executable = true;
    wanted.push_back(bind);
  }
  for (auto& [path, content] : driver_texts())
    plan.topology.push_back({std::move(path), std::move(content)});
  plan.procfs = true;
  return {};
}

}  // namespace

Result<MountPlan> plan_mounts(const Policy& policy) {
  MountPlan plan;
  std::error_code error;
  for (const char* folder : kSystemFolders) {
    if (fs::is_symlink(folder, error)) {
      plan.links.push_back({folder, fs::read_symlink(folder, error).string()});
    } else if (fs::is_directory(folder, error)) {
      BITLOOP_ASSIGN(bind, make_bind(folder));
      bind.executable = true;
      plan.binds.push_back(bind);
    }
  }

  std::vector<Bind> wanted;
  BITLOOP_ASSIGN(program, make_bind(policy.program));
  BITLOOP_ASSIGN(needs, read_elf_needs(program.source));
  program.executable = program.program = true;
  wanted.push_back(program);
  for (const fs::path& folder : needs.folders) {
    BITLOOP_ASSIGN(bind, make_bind(folder));
    bind.executable = true;
    wanted.push_back(bind);
  }
  if (!needs.loader.empty()) {
    BITLOOP_ASSIGN(bind, make_bind(needs.loader));
    bind.executable = bind.program = true;
    wanted.push_back(bind);
  }
  for (const char* device : kDevices) {
    BITLOOP_ASSIGN(bind, make_bind(device));
    bind.device = true;
    bind.writable = std::string_view(device) == "/dev/null";
    wanted.push_back(bind);
  }
  for (const fs::path& path : policy.read_only) {
    BITLOOP_ASSIGN(bind, make_bind(path));
    wanted.push_back(bind);
  }
  if (policy.gpu) BITLOOP_TRY(plan_gpu(*policy.gpu, plan, wanted));
  if (!policy.output.empty()) {
    BITLOOP_ASSIGN(bind, make_bind(policy.output));
    bind.target = "/output";
    bind.writable = policy.output_writable;
    wanted.push_back(bind);
  }
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const Bind& a, const Bind& b) { return a.target.size() < b.target.size(); });
  for (Bind& bind : wanted) {
    // The loader stays in the list, for Landlock, though its folder is mounted already.
    if (!is_covered(plan, bind) || bind.program) plan.binds.push_back(std::move(bind));
  }
  for (const char* path : kTopology)
    if (auto content = read_file(path)) plan.topology.push_back({path, std::move(*content)});
  if (policy.tmp_bytes > 0) plan.tmp_size = std::to_string(policy.tmp_bytes);
  for (const char* staging : {"/tmp", "/mnt", "/var", "/proc"})
    if (plan.staging.empty() && fs::is_directory(staging, error)) plan.staging = staging;
  return plan;
}

Status check_readable_by_others(const MountPlan& plan) {
  for (const Bind& bind : plan.binds) {
    if (bind.target == "/output") continue;
    struct stat info {};
    if (::stat(bind.source.c_str(), &info) != 0)
      return std::unexpected(errno_error(bind.source, errno));
    const mode_t needed = bind.gpu                         ? S_IROTH | S_IWOTH
                          : bind.is_folder || bind.program ? S_IROTH | S_IXOTH
                                                           : S_IROTH;
    if ((info.st_mode & needed) != needed)
      return fail(
          "not_readable",
          fmt::format("{}: other users may not {} it, and the jail runs as another user when "
                      "bitloop runs as root; chmod {} it",
                      bind.source, bind.gpu ? "read and write" : "read",
                      bind.gpu ? "a+rw" : "-R a+rX"));
  }
  return {};
}

void close_sources(MountPlan& plan) {
  const int error = errno;
  for (Bind& bind : plan.binds) {
    if (bind.fd >= 0) ::close(bind.fd);
    bind.fd = -1;
  }
  errno = error;
}

bool clone_sources(MountPlan& plan) {
  for (Bind& bind : plan.binds) {
    bind.fd = ::open_tree(AT_FDCWD, bind.source.c_str(),
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (bind.fd < 0) return close_sources(plan), false;
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_NOSUID;
    if (!bind.writable) attributes.attr_set |= MOUNT_ATTR_RDONLY;
    if (!bind.executable) attributes.attr_set |= MOUNT_ATTR_NOEXEC;
    if (!bind.device) attributes.attr_set |= MOUNT_ATTR_NODEV;
    attributes.propagation = MS_PRIVATE;
    if (::mount_setattr(bind.fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                        sizeof attributes) != 0)
      return close_sources(plan), false;
  }
  return true;
}

bool enter_root(const MountPlan& plan, bool& procfs_refused) {
  procfs_refused = false;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  const int root = make_tmpfs("8m");
  if (root < 0 ||
      ::move_mount(root, "", AT_FDCWD, plan.staging.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return false;

  if (!plan.tmp_size.empty()) {
    const int tmp = make_tmpfs(plan.tmp_size.c_str());
    if (tmp < 0 || ::mkdirat(root, "tmp", 0755) != 0 || !attach(tmp, root, "/tmp")) return false;
    ::close(tmp);
  }
  for (const Link& link : plan.links) {
    if (!make_parents(root, link.path.c_str()) ||
        ::symlinkat(link.content.c_str(), root, link.path.c_str() + 1) != 0)
      return false;
  }
  for (const TextFile& file : plan.topology) {
    const char* path = file.path.c_str();
    if (!make_parents(root, path)) return false;
    const int fd = ::openat(root, path + 1, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
    if (fd < 0 || ::write(fd, file.content.data(), file.content.size()) < 0) return false;
    ::close(fd);
  }
  if (plan.procfs && !show_processes(root)) {
    procfs_refused = true;
    return false;
  }
  for (const Bind& bind : plan.binds) {
    const char* path = bind.target.c_str();
    struct stat ignored {};
    // What lies in a folder that is mounted already (the loader, a program of the system) is there.
    if (bind.program && ::fstatat(root, path + 1, &ignored, 0) == 0) continue;
    if (!make_parents(root, path)) return false;
    const bool made = bind.is_folder ? ::mkdirat(root, path + 1, 0755) == 0 || errno == EEXIST
                                     : make_file(root, path);
    if (!made || !attach(bind.fd, root, path)) return false;
    ::close(bind.fd);
  }

  // The old root ends up on top of the new one at "/", and is taken off.
  if (::fchdir(root) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 ||
      ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0)
    return false;
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(AT_FDCWD, "/", 0, &read_only, sizeof read_only) != 0) return false;
  ::close(root);
  return true;
}

}  // namespace bitloop::sandbox
