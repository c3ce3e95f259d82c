#include "harness/jobs/record_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/support/scratch_folder.h"

namespace bitloop::jobs {
namespace {

using ::testing::HasSubstr;

// While it lives no file grows beyond so many bytes: a full disk that gets room again.
class NoRoomBeyond {
 public:
  explicit NoRoomBeyond(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit tight{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &tight);
  }
  ~NoRoomBeyond() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
  }
  NoRoomBeyond(const NoRoomBeyond&) = delete;
  NoRoomBeyond& operator=(const NoRoomBeyond&) = delete;

 private:
  rlimit old_{};
  void (*handler_)(int);
};

class RecordFileTest : public ::testing::Test {
 protected:
  RecordFile open(int more_flags = 0) { return *RecordFile::open(path_, more_flags); }
  std::string content() const { return *read_file(path_); }

  test_support::ScratchFolder folder_;
  const std::filesystem::path path_ = folder_ / "events.jsonl";
};

TEST_F(RecordFileTest, IsAppendedToOrBegunAnew) {
  open().append("one\n");
  open().append("two\n");
  EXPECT_EQ(content(), "one\ntwo\n");
  RecordFile file = open(O_TRUNC);
  file.append("three\n");
  EXPECT_TRUE(file.finish(true));
  EXPECT_EQ(content(), "three\n");
}

TEST_F(RecordFileTest, WhatHadNoRoomIsWrittenWithTheNext) {
  RecordFile file = open();
  file.append("first\n");
  {
    const NoRoomBeyond limit(9);  // a part of the second line: it is torn
    file.append("second\n");
    EXPECT_EQ(content(), "first\nsec");
    file.append("third\n");
    file.sync();
    EXPECT_EQ(content(), "first\nsec");
  }
  file.append("fourth\n");
  EXPECT_EQ(content(), "first\nsecond\nthird\nfourth\n");
  EXPECT_TRUE(file.finish(true));
}

TEST_F(RecordFileTest, OrAtTheEnd) {
  RecordFile file = open();
  {
    const NoRoomBeyond limit(3);
    file.append("first\n");
    file.append("second\n");
  }
  EXPECT_TRUE(file.finish(false));
  EXPECT_EQ(content(), "first\nsecond\n");
}

TEST_F(RecordFileTest, WhatIsMissingInTheEndIsCountedAndTheRestIsWhole) {
  RecordFile file = open();
  file.append("first\n");
  const NoRoomBeyond limit(9);
  file.append("second\nthird\n");
  const Status kept = file.finish(true);
  ASSERT_FALSE(kept);
  EXPECT_THAT(kept.error().message, HasSubstr("2 record(s) are missing in events.jsonl: "));
  EXPECT_EQ(content(), "first\n");
}

TEST_F(RecordFileTest, NotEverythingWaits) {
  RecordFile file = open();
  const std::string line = std::string(RecordFile::kMaxWaitingBytes / 2 - 1, 'x') + "\n";
  {
    const NoRoomBeyond limit(9);
    for (int i = 0; i < 5; ++i) file.append(line);
  }
  file.append("last\n");
  EXPECT_THAT(file.finish(false).error().message, HasSubstr("3 record(s) are missing"));
  EXPECT_EQ(content(), line + line + "last\n");
}

TEST_F(RecordFileTest, AReplacementIsTriedAgainAndWhatFollowsWaitsForIt) {
  RecordFile file = open();
  file.append("old story\n");
  {
    const NoRoomBeyond limit(5);
    file.replace("new story\n");
    file.append("goes on\n");
    EXPECT_EQ(content(), "old story\n");
    EXPECT_THAT(RecordFile(std::move(file)).finish(false).error().message,
                HasSubstr("events.jsonl is the one of an earlier start: "));
  }
  RecordFile again = open();
  {
    const NoRoomBeyond limit(5);
    again.replace("new story\n");
    again.append("goes on\n");
  }
  again.sync();
  EXPECT_EQ(content(), "new story\ngoes on\n");
  EXPECT_TRUE(again.finish(true));
}

}  // namespace
}  // namespace bitloop::jobs
