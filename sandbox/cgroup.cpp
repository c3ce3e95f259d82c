#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "bitloop-jail-";

struct Hierarchy {
  bool v2 = false;
  std::string controller;  // version 1: "memory" or "pids"
  fs::path mount;          // where it is mounted
  fs::path own;            // the caller's group, below mount
};

bool write_text(const fs::path& path, const std::string& text) {
  const auto fd = open_file(path, O_WRONLY);
  return fd && write_all(fd->get(), text).has_value();
}

// Pairs /proc/self/mountinfo with /proc/self/cgroup.
std::vector<Hierarchy> find_hierarchies() {
  std::vector<Hierarchy> found;
  const std::string mounts = read_file("/proc/self/mountinfo").value_or("");
  const std::string groups = read_file("/proc/self/cgroup").value_or("");
  for (const std::string& line : split_lines(mounts)) {
    const std::vector<std::string> fields = split(line, ' ');
    size_t dash = 6;
    while (dash < fields.size() && fields[dash] != "-") ++dash;
    if (dash + 3 >= fields.size()) continue;
    Hierarchy hierarchy;
    hierarchy.v2 = fields[dash + 1] == "cgroup2";
    if (!hierarchy.v2 && fields[dash + 1] != "cgroup") continue;
    for (const std::string& option : split(fields[dash + 3], ','))
      if (option == "memory" || option == "pids") hierarchy.controller = option;
    if (!hierarchy.v2 && hierarchy.controller.empty()) continue;
    hierarchy.mount = fields[4];
    for (const std::string& group : split_lines(groups)) {  // "4:memory:/path" or "0::/path"
      const size_t first = group.find(':'), second = group.find(':', first + 1);
      if (second == std::string::npos) continue;
      const auto names = split(group.substr(first + 1, second - first - 1), ',');
      bool same = hierarchy.v2 && group.starts_with("0::");
      for (const std::string& name : names)
        same = same || (!hierarchy.v2 && name == hierarchy.controller);
      if (!same) continue;
      // Inside a container the mount shows only a part of the tree: strip what it hides.
      std::string path = group.substr(second + 1);
      if (fields[3] != "/" && path.starts_with(fields[3])) path.erase(0, fields[3].size());
      hierarchy.own = hierarchy.mount / fs::path(path).relative_path();
    }
    if (!hierarchy.own.empty()) found.push_back(std::move(hierarchy));
  }
  return found;
}

// Groups whose supervisor was killed: empty by now, as the jail died with it. One in use can't be
// removed.
void remove_stale(const fs::path& parent) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    pid_t owner = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), owner);
    if (owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH) ::rmdir(entry.path().c_str());
  }
}

// Makes a group in the first place between the caller's own group and the root where `limit` can be
// written.
Result<fs::path> make_in(const Hierarchy& hierarchy, const char* limit, const std::string& value) {
  const std::string name = fmt::format("{}{}-{}", kPrefix, ::getpid(), random_hex(4));
  std::string reason = "no group above this process can be divided";
  for (fs::path parent = hierarchy.own;; parent = parent.parent_path()) {
    remove_stale(parent);
    const fs::path folder = parent / name;
    if (::mkdir(folder.c_str(), 0755) != 0) {
      reason = fmt::format("{}: {}", parent.string(), std::strerror(errno));
    } else {
      if (write_text(folder / limit, value)) return folder;
      reason = fmt::format("{} has no {}", parent.string(), limit);
      ::rmdir(folder.c_str());
    }
    if (parent == hierarchy.mount || !parent.has_relative_path()) break;
  }
  return fail("sandbox_unavailable", reason);
}

}  // namespace

ControlGroup::~ControlGroup() {
  // The kernel lets go of a group a moment after its last process.
  for (const fs::path& folder : folders_)
    for (int attempt = 0; attempt < 100 && ::rmdir(folder.c_str()) != 0 && errno == EBUSY;
         ++attempt)
      ::usleep(1000);
}

Result<ControlGroup> ControlGroup::make(uint64_t memory_bytes, unsigned max_processes) {
  ControlGroup group;
  std::string reason = "no control group file system is mounted";
  for (const Hierarchy& hierarchy : find_hierarchies()) {
    const bool memory = hierarchy.v2 || hierarchy.controller == "memory";
    auto folder = make_in(hierarchy,
                          hierarchy.v2 ? "memory.max"
                          : memory     ? "memory.limit_in_bytes"
                                       : "pids.max",
                          std::to_string(memory ? memory_bytes : max_processes));
    if (!folder) {
      if (memory) reason = folder.error().message;
      continue;
    }
    if (hierarchy.v2) {
      write_text(*folder / "memory.swap.max", "0");
      write_text(*folder / "pids.max", std::to_string(max_processes));
    } else if (memory) {
      write_text(*folder / "memory.memsw.limit_in_bytes", std::to_string(memory_bytes));
    }
    group.folders_.insert(memory ? group.folders_.begin() : group.folders_.end(), *folder);
  }
  for (const fs::path& folder : group.folders_)
    if (fs::exists(folder / "memory.max") || fs::exists(folder / "memory.limit_in_bytes"))
      return group;
  return fail("sandbox_unavailable", reason);
}

Status ControlGroup::add(pid_t process) const {
  for (const fs::path& folder : folders_) {
    BITLOOP_ASSIGN(fd, open_file(folder / "cgroup.procs", O_WRONLY));
    BITLOOP_TRY(write_all(fd.get(), std::to_string(process)));
  }
  return {};
}

bool ControlGroup::out_of_memory() const {
  for (const fs::path& folder : folders_)
    for (const char* file : {"memory.oom_control", "memory.events"})
      for (const std::string& line : split_lines(read_file(folder / file).value_or("")))
        if (line.starts_with("oom_kill ") && line != "oom_kill 0") return true;
  return false;
}

std::string control_group_obstacle() {
  std::string reason = "no control group file system with a memory controller is mounted";
  for (const Hierarchy& hierarchy : find_hierarchies()) {
    if (!hierarchy.v2 && hierarchy.controller != "memory") continue;
    for (fs::path parent = hierarchy.own;; parent = parent.parent_path()) {
      const bool divides =
          !hierarchy.v2 ||
          read_file(parent / "cgroup.subtree_control").value_or("").find("memory") !=
              std::string::npos;
      if (divides && ::access(parent.c_str(), W_OK) == 0) return "";
      reason = fmt::format("{} can't be divided by this user", parent.string());
      if (parent == hierarchy.mount || !parent.has_relative_path()) break;
    }
  }
  return reason;
}

}  // namespace bitloop::sandbox
