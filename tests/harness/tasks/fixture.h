// A share folder made of the repository's own presets and tasks, to be changed by a test.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::tasks {

class Share {
 public:
  Share() {
    copy(BITLOOP_SOURCE_DIR "/trainer/presets", "presets", ".json");
    copy(BITLOOP_SOURCE_DIR "/harness/tasks", "tasks", ".json");
    copy(BITLOOP_SOURCE_DIR "/trainer/eval/tasks", "eval", ".lua");
  }
  const std::filesystem::path& path() const { return folder_.path(); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::trunc | std::ios::binary) << text;
  }
  std::string read(const std::string& name) const { return read_file(folder_ / name).value(); }

 private:
  void copy(const std::filesystem::path& from, const char* to, const char* extension) {
    std::filesystem::create_directories(folder_ / to);
    for (const auto& entry : std::filesystem::directory_iterator(from))
      if (entry.path().extension() == extension)
        std::filesystem::copy_file(entry.path(), folder_ / to / entry.path().filename());
  }
  test_support::ScratchFolder folder_;
};

}  // namespace bitloop::tasks
