#include "harness/jobs/half_written.h"

#include "tests/harness/jobs_queue/fake_run.h"

namespace bitloop::jobs {
namespace {

TEST_F(FakeRun, WhatAKilledHostWasWritingIsRemovedAndNothingElse) {
  const std::filesystem::path run = run_dir("a");
  std::filesystem::create_directories(run);
  for (const char* name : {"job.json", "job.json.tmp-3835", "verdict.json.tmp-12", "log.tsv"})
    ASSERT_TRUE(write_file_atomic(run / name, "x"));
  remove_half_written(run);
  EXPECT_TRUE(std::filesystem::exists(run / "job.json"));
  EXPECT_TRUE(std::filesystem::exists(run / "log.tsv"));
  EXPECT_FALSE(std::filesystem::exists(run / "job.json.tmp-3835"));
  EXPECT_FALSE(std::filesystem::exists(run / "verdict.json.tmp-12"));
  remove_half_written(run_dir("never was"));  // nothing to do, and no complaint
}

}  // namespace
}  // namespace bitloop::jobs
