#include "harness/jobs/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace bitloop::jobs {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

class JobTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  Result<Job> read(const std::string& text) {
    std::ofstream(path_) << text;
    return read_job(path_);
  }
  Json good_ = {
      {"schema_version", 1},
      {"kind", "train"},
      {"preset",
       {{"limits", {{"deadline_s", 100}, {"memory_mb", 512}, {"threads", 2}, {"output_mb", 8}}}}},
      {"data_dir", "/data"},
      {"allow_degraded", false}};
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("bitloop-job-" + std::to_string(::getpid()));
};

TEST_F(JobTest, ReadsTheLimits) {
  const auto job = read(good_.dump());
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ(job->limits.deadline, std::chrono::seconds(100));
  EXPECT_EQ(job->limits.memory_bytes, 512u << 20);
  EXPECT_EQ(job->limits.output_bytes, 8u << 20);
  EXPECT_EQ(job->data, std::vector<std::filesystem::path>{"/data"});
}

TEST_F(JobTest, ACheckIsShort) {
  good_["kind"] = "check";
  EXPECT_EQ(read(good_.dump())->limits.deadline, std::chrono::seconds(20));
  good_["preset"]["limits"]["deadline_s"] = 5;
  EXPECT_EQ(read(good_.dump())->limits.deadline, std::chrono::seconds(5));
}

TEST_F(JobTest, APresetMayNameDataOfItsOwn) {
  good_["preset"]["data"] = {{"path", "/elsewhere/train.bin"}, {"val_path", "/elsewhere/val.bin"}};
  EXPECT_EQ(read(good_.dump())->data, (std::vector<std::filesystem::path>{
                                          "/data", "/elsewhere/train.bin", "/elsewhere/val.bin"}));
  good_["preset"]["data"] = {{"path", "shakespeare"}};
  EXPECT_EQ(read(good_.dump())->data.size(), 1u);
}

TEST_F(JobTest, OfAPatternTheFilesAreReadAndNotTheirFolder) {
  good_["preset"]["data"] = {{"path", "/elsewhere/train_*.bin"},
                             {"val_path", "/elsewhere/val.bin"}};
  good_["data_files"] = {{"path", {"/elsewhere/train_1.bin", "/elsewhere/train_2.bin"}}};
  EXPECT_EQ(read(good_.dump())->data, (std::vector<std::filesystem::path>{
                                          "/data", "/elsewhere/val.bin", "/elsewhere/train_1.bin",
                                          "/elsewhere/train_2.bin"}));
  good_["data_files"]["path"][1] = "train_2.bin";
  EXPECT_THAT(read(good_.dump()).error().message, HasSubstr("by absolute paths"));
  good_["data_files"] = nullptr;
  EXPECT_EQ(read(good_.dump())->data.size(), 2u);
}

TEST_F(JobTest, DocumentsOfBenchmarksAreReadToo) {
  good_["benchmarks"] = {{"documents", {{"piqa.jsonl", {{"file", "/elsewhere/piqa.jsonl"}}}}}};
  EXPECT_EQ(read(good_.dump())->data,
            (std::vector<std::filesystem::path>{"/data", "/elsewhere/piqa.jsonl"}));
  good_["benchmarks"]["documents"]["piqa.jsonl"] = {{"file", "piqa.jsonl"}};
  EXPECT_THAT(read(good_.dump()).error().message, HasSubstr("by absolute paths"));
  good_["benchmarks"] = nullptr;
  EXPECT_EQ(read(good_.dump())->data.size(), 1u);
}

TEST_F(JobTest, NamesWhatIsWrong) {
  EXPECT_EQ(read_job("/nonexistent/job.json").error().code, "file_not_found");
  for (const char* text : {"", "[]", "{", "null", "{\"schema_version\":2}"})
    EXPECT_EQ(read(text).error().code, "bad_job") << text;
  const std::pair<const char*, Json> cases[] = {{"/kind", "eval"},
                                                {"/kind", nullptr},
                                                {"/data_dir", "relative"},
                                                {"/data_dir", 1},
                                                {"/allow_degraded", 1},
                                                {"/preset/limits/deadline_s", 0},
                                                {"/preset/limits/memory_mb", -1},
                                                {"/preset/limits/threads", 1.5},
                                                {"/preset/limits/output_mb", "8"},
                                                {"/preset/limits", nullptr},
                                                {"/preset", 3}};
  for (const auto& [pointer, value] : cases) {
    Json wrong = good_;
    wrong[Json::json_pointer(pointer)] = value;
    const auto job = read(wrong.dump());
    ASSERT_FALSE(job) << pointer;
    EXPECT_EQ(job.error().code, "bad_job");
    const std::string member = std::string(pointer).substr(std::string(pointer).rfind('/') + 1);
    if (member != "preset") {
      EXPECT_THAT(job.error().message, HasSubstr(member == "limits" ? "limits" : member));
    }
  }
}

TEST_F(JobTest, ReadsTheRanks) {
  EXPECT_EQ(read(good_.dump())->ranks, 1U);
  good_["preset"]["train"] = {{"ranks", 4}};
  good_["preset"]["limits"]["rank_wait_s"] = 7;
  EXPECT_EQ(read(good_.dump())->ranks, 4U);
  EXPECT_EQ(read(good_.dump())->rank_wait_s, 7);
  EXPECT_FALSE(read(good_.dump())->remote_rank);
  Json check = good_;
  check["kind"] = "check";
  EXPECT_EQ(read(check.dump())->ranks, 1U);
  // On several machines each has one.
  Json remote = good_;
  remote["ranks"] = {{"rank", 1}, {"count", 4}, {"address", "10.0.0.1"}, {"port", 29500}};
  EXPECT_EQ(read(remote.dump())->ranks, 1U);
  EXPECT_EQ(read(remote.dump())->remote_rank, 1);
  remote["preset"]["checkpoint"] = {{"every", 10}};
  EXPECT_FALSE(read(remote.dump())->checkpoints());  // that this machine could go on from
  remote["ranks"]["rank"] = -1;
  EXPECT_THAT(read(remote.dump()).error().message, HasSubstr("ranks.rank"));
  for (const Json& wrong : {Json(0), Json(17), Json(1.5), Json("2")}) {
    good_["preset"]["train"]["ranks"] = wrong;
    EXPECT_THAT(read(good_.dump()).error().message,
                HasSubstr("preset.train.ranks must be a whole number from 1 to 16"));
  }
}

}  // namespace
}  // namespace bitloop::jobs
