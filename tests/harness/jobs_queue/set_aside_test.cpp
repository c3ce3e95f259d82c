#include "harness/jobs/set_aside.h"

#include "harness/jobs/run_folder.h"
#include "tests/harness/jobs_queue/fake_run.h"

namespace bitloop::jobs {
namespace {

class SetAside : public FakeRun {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(run_dir("a") / "output");
    const nlohmann::json limits = {
        {"deadline_s", 60}, {"memory_mb", 128}, {"threads", 2}, {"output_mb", 4}};
    job_ = {{"schema_version", 1},
            {"kind", "train"},
            {"data_dir", "/nowhere"},
            {"preset", {{"checkpoint", {{"every", 10}}}, {"limits", limits}}}};
    ASSERT_TRUE(write_job(run_dir("a"), job_));
  }
  void put(const char* name, const std::string& text) {
    ASSERT_TRUE(write_file_atomic(run_dir("a") / name, text));
  }
  bool left() const { return run_left_checkpoint(run_dir("a")); }
  std::string read(const char* name) const {
    return read_file(run_dir("a") / name).value_or("(none)");
  }
  nlohmann::json job_;
};

TEST_F(SetAside, ACheckpointIsAFileAndARecord) {
  EXPECT_FALSE(left());
  put("events.jsonl", "{\"type\":\"checkpoint\",\"ok\":true,\"step\":10}\n");
  EXPECT_FALSE(left());
  put("output/checkpoint-0.safetensors", "");
  EXPECT_FALSE(left());
  put("output/checkpoint-0.safetensors", "tensors");
  EXPECT_TRUE(left());
  for (const char* events :
       {"", "{\"type\":\"checkpoint\",\"ok\":false}\n", "{\"type\":\"checkpoint\"}\n",
        "{\"type\":\"step\",\"x\":\"checkpoint\"}\n", "\"checkpoint\"\n", "[\"checkpoint\"]\n",
        "{\"type\":\"checkpoint\",\"ok\":true"}) {
    put("events.jsonl", events);
    EXPECT_FALSE(left()) << events;
  }
  put("events.jsonl", "torn \"checkpoint\"\n{\"type\":\"checkpoint\",\"ok\":true}\n");
  EXPECT_TRUE(left());
  job_["preset"].erase("checkpoint");
  ASSERT_TRUE(write_job(run_dir("a"), job_));
  EXPECT_FALSE(left());
}

TEST_F(SetAside, TheVerdictGetsTheNextNumber) {
  put("attempts", "3 10\n");
  put("cancelled", "");
  for (const char* text : {"first", "second"}) {
    put("verdict.json", text);
    put("output.txt", text);
    ASSERT_TRUE(set_verdict_aside(run_dir("a")));
  }
  EXPECT_EQ(read("verdict-1.json") + read("output-1.txt"), "firstfirst");
  EXPECT_EQ(read("verdict-2.json") + read("output-2.txt"), "secondsecond");
  for (const char* name : {"verdict.json", "output.txt", "attempts", "cancelled"})
    EXPECT_EQ(read(name), "(none)");
}

TEST_F(SetAside, KilledBeforeTheLastRenameItGoesOnFromThere) {
  put("verdict.json", "verdict");
  put("output-1.txt", "words");
  ASSERT_TRUE(set_verdict_aside(run_dir("a")));
  EXPECT_EQ(read("verdict-1.json") + read("output-1.txt"), "verdictwords");
  ASSERT_TRUE(set_verdict_aside(run_dir("a")));  // there is none
}

TEST_F(SetAside, WhatFailsLeavesTheVerdict) {
  put("verdict.json", "verdict");
  std::filesystem::create_directories(run_dir("a") / "cancelled/not a mark");
  EXPECT_EQ(set_verdict_aside(run_dir("a")).error().code, "io_error");
  EXPECT_EQ(read("verdict.json"), "verdict");
}

}  // namespace
}  // namespace bitloop::jobs
