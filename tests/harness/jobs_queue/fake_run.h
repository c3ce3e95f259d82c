// A workspace folder for tests of runs, whose supervisors are shell scripts.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "harness/base/fd.h"

namespace bitloop::jobs {

class FakeRun : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "bitloop-jobs-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    ::unsetenv("BITLOOP_SUPERVISOR");
    std::filesystem::remove_all(folder_);
  }

  // Makes the supervisor a script; $1 is the run's folder.
  void supervisor_is(const std::string& script) {
    const std::filesystem::path path = folder_ / "supervisor.sh";
    ASSERT_TRUE(write_file_atomic(path, "#!/bin/sh\n" + script + "\n"));
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    ::setenv("BITLOOP_SUPERVISOR", path.c_str(), 1);
  }

  std::filesystem::path run_dir(const std::string& name) const { return folder_ / "runs" / name; }

  std::filesystem::path folder_;
};

inline constexpr const char* kWriteOk =
    R"(printf '{"status":"ok","message":"Done."}' >"$1/verdict.json")";

}  // namespace bitloop::jobs
