// A folder of its own for a test, removed with it.
#pragma once

#include <filesystem>

#include "harness/base/temporary_folder.h"

namespace bitloop::test_support {

class ScratchFolder {
 public:
  const std::filesystem::path& path() const { return folder_.path(); }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path() / name; }

 private:
  TemporaryFolder folder_ =
      TemporaryFolder::make(std::filesystem::temp_directory_path(), "bitloop-test-").value();
};

}  // namespace bitloop::test_support
