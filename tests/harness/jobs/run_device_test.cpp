#include "harness/jobs/run_device.h"

#include <gtest/gtest.h>

#include "harness/base/fd.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::jobs {
namespace {

class RunDevice : public ::testing::Test {
 protected:
  // The device of a job that says `wanted` in a folder with these records.
  std::string pinned(const std::string& wanted, const std::string& events) {
    EXPECT_TRUE(write_file_atomic(folder_ / "events.jsonl", events));
    Job job;
    job.device = wanted;
    job.document = {{"preset", {{"train", {{"device", wanted}}}}}};
    pin_device(folder_.path(), job);
    EXPECT_EQ(job.document["preset"]["train"]["device"], job.device);
    return job.device;
  }
  test_support::ScratchFolder folder_;
};

const std::string kHeader = "{\"type\":\"header\",\"config\":{\"x\":\"machine\"}}\n";
const std::string kCpu = "{\"type\":\"machine\",\"device\":\"cpu\"}\n";
const std::string kGpu = "{\"type\":\"machine\",\"device\":\"NVIDIA H200\"}\n";

TEST_F(RunDevice, IsTheOneThatItBeganOn) {
  EXPECT_EQ(pinned("auto", kHeader + kGpu + kCpu), "cuda");
  EXPECT_EQ(pinned("auto", kHeader + kCpu + kGpu), "cpu");
}

TEST_F(RunDevice, WhatTheJobNamesItselfStays) {
  EXPECT_EQ(pinned("cpu", kGpu), "cpu");
  EXPECT_EQ(pinned("cuda", kCpu), "cuda");
}

TEST_F(RunDevice, WithoutARecordItIsChosenAnew) {
  EXPECT_EQ(pinned("auto", kHeader), "auto");
  EXPECT_EQ(pinned("auto", "{\"type\":\"machine\"}\n{\"type\":\"machine\",\"device\":3}\n"),
            "auto");
  EXPECT_EQ(pinned("auto", "not json \"machine\"\n"), "auto");
  std::filesystem::remove(folder_ / "events.jsonl");
  Job job;
  job.device = "auto";
  pin_device(folder_.path(), job);
  EXPECT_EQ(job.device, "auto");
}

}  // namespace
}  // namespace bitloop::jobs
