// A share folder made of the repository's own presets and tasks, to be changed by a test.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::tasks {

class Share {
 public:
  Share() : path_(std::filesystem::temp_directory_path() / ("bitloop-" + random_hex(8))) {
    copy(BITLOOP_SOURCE_DIR "/trainer/presets", "presets");
    copy(BITLOOP_SOURCE_DIR "/harness/tasks", "tasks");
  }
  ~Share() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::trunc | std::ios::binary) << text;
  }
  std::string read(const std::string& name) const { return read_file(path_ / name).value(); }

 private:
  void copy(const std::filesystem::path& from, const char* to) {
    std::filesystem::create_directories(path_ / to);
    for (const auto& entry : std::filesystem::directory_iterator(from))
      if (entry.path().extension() == ".json")
        std::filesystem::copy_file(entry.path(), path_ / to / entry.path().filename());
  }
  std::filesystem::path path_;
};

}  // namespace bitloop::tasks
