#include "harness/base/paths.h"

#include <cstdlib>
#include <string>
#include <string_view>

namespace bitloop {

std::filesystem::path executable_path() {
  // What the kernel says of a program whose file was replaced, as by an upgrade, while it runs: the
  // new one is there under the old name.
  constexpr std::string_view kReplaced = " (deleted)";
  std::string path = std::filesystem::read_symlink("/proc/self/exe").string();
  if (path.ends_with(kReplaced)) path.resize(path.size() - kReplaced.size());
  return path;
}

std::filesystem::path program_path(const char* name) {
  return executable_path().parent_path() / name;
}

std::vector<std::filesystem::path> library_folders(const std::filesystem::path& program) {
  const std::filesystem::path folder = program.parent_path();
  return {(folder / "../lib").lexically_normal(), (folder / "../../lib").lexically_normal(),
          folder};
}

std::filesystem::path share_dir() {
  if (const char* hook = std::getenv("BITLOOP_SHARE")) return hook;
  return executable_path().parent_path().parent_path() / "share" / "bitloop";
}

std::filesystem::path user_data_dir() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data == '/')
    return std::filesystem::path(data) / "bitloop";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr ? home : ".") / ".local" / "share" / "bitloop";
}

}  // namespace bitloop
