// Development data that is not in the repository: archives in the folder that BITLOOP_SHARED_DATA
// names. Tests that need one skip, visibly, where it is absent.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace bitloop {

// The folder of the archives, or empty.
inline std::filesystem::path shared_data() {
  if (const char* named = std::getenv("BITLOOP_SHARED_DATA")) return named;
  const auto beside = std::filesystem::path(BITLOOP_SOURCE_DIR).parent_path() / "shared" / "data";
  return std::filesystem::exists(beside) ? beside : std::filesystem::path();
}

// A folder with the contents of `archive`.tar.xz, unpacked once; empty where it is absent.
inline std::filesystem::path unpacked(const std::string& archive) {
  namespace fs = std::filesystem;
  const fs::path file = shared_data() / (archive + ".tar.xz");
  const fs::path folder = fs::temp_directory_path() / ("bitloop-tests-" + archive);
  if (!fs::exists(file)) return {};
  if (fs::exists(folder)) return folder;
  const fs::path made = folder.string() + "." + std::to_string(::getpid());
  fs::create_directories(made);
  if (std::system(("tar -C '" + made.string() + "' -xf '" + file.string() + "'").c_str()) != 0)
    return {};
  std::error_code taken;  // another test was first
  fs::rename(made, folder, taken);
  if (taken) fs::remove_all(made);
  return folder;
}

}  // namespace bitloop
