#include "harness/jobs/run_files.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include "harness/base/text.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::jobs {
namespace {

using Json = nlohmann::ordered_json;

Json step(int number, double loss) {
  return {{"type", "step"}, {"step", number}, {"train_loss", loss}};
}

class RunFilesTest : public ::testing::Test {
 protected:
  void run(bool goes_on, const std::vector<Json>& records) {
    auto files = RunFiles::open(folder_.path(), goes_on);
    ASSERT_TRUE(files) << files.error().message;
    for (const Json& record : records) files->take(record);
    ASSERT_TRUE(files->finish(true));
  }
  // "header step 10 step 20": types, with steps.
  std::string story() const {
    std::string words;
    const std::string text = *read_file(folder_ / "events.jsonl");
    for (const std::string& line : split(text, '\n')) {
      if (line.empty()) continue;
      const Json record = Json::parse(line);
      words += record["type"].get<std::string>() + " ";
      if (record.contains("step")) words += std::to_string(record["step"].get<int>()) + " ";
    }
    return words;
  }
  // The first two columns but the header.
  std::string table() const {
    std::string rows;
    const std::string text = *read_file(folder_ / "log.tsv");
    for (const std::string& line : split(text, '\n')) {
      const auto cells = split(line, '\t');
      if (cells.size() > 2) rows += std::string(cells[0]) + ":" + std::string(cells[2]) + " ";
    }
    return rows;
  }

  test_support::ScratchFolder folder_;
};

const Json kHeader = {{"type", "header"}};
const Json kResult = {{"type", "result"}};
Json checkpoint(int number) { return {{"type", "checkpoint"}, {"step", number}}; }
Json resumed(int number) { return {{"type", "resumed"}, {"step", number}}; }

TEST_F(RunFilesTest, ARunIsOneStory) {
  run(false, {kHeader, step(10, 3), step(20, 2), kResult});
  EXPECT_EQ(story(), "header step 10 step 20 result ");
  EXPECT_EQ(table(), "step:train_loss 10:3 20:2 ");
}

TEST_F(RunFilesTest, SoIsOneThatGoesOnFromACheckpoint) {
  run(false, {kHeader, step(10, 3), checkpoint(15), step(20, 2), step(30, 1)});
  std::ofstream(folder_ / "events.jsonl", std::ios::app) << R"({"type": "step", "st)";  // killed
  run(true, {kHeader, {{"type", "stage"}, {"name", "warm"}}, resumed(15), step(20, 2.5), kResult});
  EXPECT_EQ(story(), "header step 10 checkpoint 15 resumed 15 step 20 result ");
  EXPECT_EQ(table(), "step:train_loss 10:3 20:2.5 ");
}

TEST_F(RunFilesTest, WhatWasToldAfterTheCheckpointIsToldOnce) {
  const Json eval = {{"type", "eval"}};
  run(false, {kHeader, step(10, 3), step(20, 2), checkpoint(15), step(30, 1), eval, kResult});
  run(true, {kHeader, resumed(15), step(20, 2), step(30, 1), eval, kResult});
  EXPECT_EQ(story(), "header step 10 checkpoint 15 resumed 15 step 20 step 30 eval result ");
}

TEST_F(RunFilesTest, WithoutACheckpointItBeginsAnew) {
  run(false, {kHeader, step(10, 3), step(20, 2)});
  run(true, {kHeader, resumed(0), step(10, 4)});
  EXPECT_EQ(story(), "header resumed 0 step 10 ");
  EXPECT_EQ(table(), "step:train_loss 10:4 ");
}

TEST_F(RunFilesTest, WhoSaysNothingButWordsIsNotListenedTo) {
  run(false, {kHeader, step(10, 3)});
  auto files = RunFiles::open(folder_.path(), true);
  const Json long_record = {{"type", "finding"}, {"detail", std::string(10'000, 'x')}};
  for (int i = 0; i < 200; ++i) files->take(long_record);
  files->take(kResult);
  EXPECT_EQ(files->finish(true).error().code, "too_large");
  EXPECT_EQ(story(), "header step 10 ");
}

TEST_F(RunFilesTest, UntilItGoesOnNothingIsLost) {
  run(false, {kHeader, step(10, 3)});
  std::ofstream(folder_ / "events.jsonl", std::ios::app) << R"({"type": "st)";
  run(true, {kHeader});  // killed again, before it came so far
  EXPECT_EQ(story(), "header step 10 ");
  run(true, {kHeader, kResult});  // it could not go on
  EXPECT_EQ(story(), "header step 10 result ");
  EXPECT_EQ(table(), "step:train_loss 10:3 ");
}

TEST_F(RunFilesTest, ADiskThatWasFullForAWhileLosesNothing) {
  auto files = RunFiles::open(folder_.path(), false);
  files->take(kHeader);
  files->take(step(10, 3));
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit tight{read_file(folder_ / "events.jsonl")->size() + 5, old.rlim_max};
  auto* handler = ::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &tight);
  files->take(step(20, 2));
  files->take(checkpoint(20));
  files->sync();
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, handler);
  files->take(step(30, 1));
  EXPECT_TRUE(files->finish(true));
  EXPECT_EQ(story(), "header step 10 step 20 checkpoint 20 step 30 ");
  EXPECT_EQ(table(), "step:train_loss 10:3 20:2 30:1 ");
}

}  // namespace
}  // namespace bitloop::jobs
