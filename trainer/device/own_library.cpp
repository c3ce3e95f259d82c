#include "trainer/device/own_library.h"

#include <filesystem>
#include <system_error>

#include "harness/base/paths.h"

namespace bitloop::trainer {

std::string own_library(const char* name) {
  std::error_code failed;
  for (const std::filesystem::path& folder : library_folders(executable_path()))
    if (std::filesystem::exists(folder / name, failed)) return folder / name;
  return name;
}

}  // namespace bitloop::trainer
