#include "harness/sessions/progress.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/scratch_folder.h"

namespace bitloop::sessions {
namespace {

using namespace std::chrono_literals;

class ProgressTest : public ::testing::Test {
 protected:
  std::filesystem::path path() { return folder_ / "events.jsonl"; }
  void append(const std::string& text) { std::ofstream(path(), std::ios::app) << text; }
  test_support::ScratchFolder folder_;
};

TEST_F(ProgressTest, AFileIsFollowedFromItsEndInWholeLines) {
  append("old\nhalf of");
  GrowingFile file(path());
  EXPECT_EQ(file.read_lines(), "");
  append(" an old line\nnew\nbegin");
  EXPECT_EQ(file.read_lines(), "new\n");
  EXPECT_EQ(file.read_lines(), "");
  append("ning\n");
  EXPECT_EQ(file.read_lines(), "beginning\n");
}

TEST_F(ProgressTest, AFileIsFollowedFromItsBeginningToo) {
  append("old\n");
  GrowingFile file(path(), GrowingFile::From::kBeginning);
  EXPECT_EQ(file.read_lines(), "old\n");
  append("new\n");
  EXPECT_EQ(file.read_lines(), "new\n");
}

TEST_F(ProgressTest, AFileThatComesLaterIsNewFromItsFirstLine) {
  GrowingFile file(path());
  EXPECT_EQ(file.read_lines(), "");
  append("first\n");
  EXPECT_EQ(file.read_lines(), "first\n");
}

TEST_F(ProgressTest, OneThatIsReplacedIsFollowedFromItsEndOn) {
  append("one\n");
  GrowingFile file(path(), GrowingFile::From::kBeginning);
  EXPECT_EQ(file.read_lines(), "one\n");
  std::ofstream(folder_ / "other") << "one\n";
  std::filesystem::rename(folder_ / "other", path());
  EXPECT_EQ(file.read_lines(), "");
  EXPECT_EQ(file.read_lines(), "");
  append("two\n");
  EXPECT_EQ(file.read_lines(), "two\n");
}

TEST(ProgressEvent, OnlyNumbersOfStepsAndVals) {
  const auto event = progress_event(
      R"({"type": "step", "step": 10, "session": "forged", "train_loss": 2.5, "x": "text"})", "s",
      3);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, "step");
  EXPECT_EQ(event->id, "");
  EXPECT_EQ(event->data, R"({"session":"s","test":3,"step":10,"train_loss":2.5})");
  EXPECT_EQ(progress_event(R"({"type": "val", "val_loss": null})", "s", 3)->kind, "val");
  for (const char* other :
       {"", "{", "[\"step\"]", R"({"step": 1})", R"({"type": "header", "step": 1})",
        R"({"type": {"step": 1}, "val": "step"})", R"({"type": "stage", "name": "step"})"})
    EXPECT_FALSE(progress_event(other, "s", 3)) << other;
}

TEST_F(ProgressTest, RecordsAreHeardWhileSomebodyListens) {
  std::atomic<bool> heard{false};
  std::atomic<int> records{0};
  Progress progress([&](const std::string&) { return heard.load(); },
                    [&](const std::string& session, const EventPtr&) {
                      EXPECT_EQ(session, "s");
                      ++records;
                    });
  progress.started("s", 1, path());
  append(R"({"type": "step", "step": 1})"
         "\n");
  heard = true;
  progress.wake();
  append(R"({"type": "step", "step": 2})"
         "\n");
  while (records == 0) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(records, 1);  // the second: nobody listened to the first
  append(R"({"type": "val", "step": 3})"
         "\n");
  progress.ended("s", 1);  // hands on the rest
  EXPECT_EQ(records, 2);
  progress.ended("s", 1);
  progress.stop();
}

TEST_F(ProgressTest, ARunThatStartsLaterIsHeardToo) {
  std::atomic<int> records{0};
  Progress progress([](const std::string&) { return true; },
                    [&](const std::string&, const EventPtr&) { ++records; });
  progress.wake();
  progress.started("s", 1, path());
  while (records == 0) {
    append(R"({"type": "step", "step": 1})"
           "\n");
    std::this_thread::sleep_for(1ms);
  }
}

}  // namespace
}  // namespace bitloop::sessions
