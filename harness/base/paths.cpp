#include "harness/base/paths.h"

#include <cstdlib>

namespace bitloop {

std::filesystem::path executable_path() { return std::filesystem::read_symlink("/proc/self/exe"); }

std::filesystem::path program_path(const char* name) {
  return executable_path().parent_path() / name;
}

std::filesystem::path share_dir() {
  if (const char* hook = std::getenv("BITLOOP_SHARE")) return hook;
  return executable_path().parent_path().parent_path() / "share" / "bitloop";
}

}  // namespace bitloop
