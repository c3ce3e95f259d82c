// A workspace folder for tests of runs, whose supervisors are shell scripts.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "harness/base/fd.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::jobs {

class FakeRun : public ::testing::Test {
 protected:
  void TearDown() override { ::unsetenv("BITLOOP_SUPERVISOR"); }

  // Makes the supervisor a script; $1 is the run's folder.
  void supervisor_is(const std::string& script) {
    const std::filesystem::path path = folder_ / "supervisor.sh";
    ASSERT_TRUE(write_file_atomic(path, "#!/bin/sh\n" + script + "\n"));
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    ::setenv("BITLOOP_SUPERVISOR", path.c_str(), 1);
  }

  std::filesystem::path run_dir(const std::string& name) const { return folder_ / "runs" / name; }

  test_support::ScratchFolder folder_;
};

inline constexpr const char* kWriteOk =
    R"(printf '{"status":"ok","message":"Done."}' >"$1/verdict.json")";

}  // namespace bitloop::jobs
