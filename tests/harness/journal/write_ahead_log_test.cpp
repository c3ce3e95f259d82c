#include "harness/journal/write_ahead_log.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/support/scratch_folder.h"

namespace bitloop::journal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class WriteAheadLogTest : public ::testing::Test {
 protected:
  std::vector<std::string> read() const {
    auto records = WriteAheadLog::read(log_);
    EXPECT_TRUE(records) << records.error().message;
    return records.value_or(std::vector<std::string>());
  }
  std::vector<fs::path> segments() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(log_)) paths.push_back(entry.path());
    std::ranges::sort(paths);
    return paths;
  }

  test_support::ScratchFolder folder_;
  const fs::path log_ = folder_.path() / "log";
};

TEST_F(WriteAheadLogTest, KeepsRecordsInTheirOrderOverProcesses) {
  EXPECT_THAT(read(), IsEmpty());  // there is no folder
  const std::string binary("\0\n\xff bitloop write-ahead log 1\n", 30);
  {
    const auto log = *WriteAheadLog::open(log_);
    ASSERT_TRUE(log->append("one"));
    ASSERT_TRUE(log->append(""));
    EXPECT_THAT(read(), ElementsAre("one", ""));
  }
  const auto log = *WriteAheadLog::open(log_);
  ASSERT_TRUE(log->append(binary));
  EXPECT_THAT(read(), ElementsAre("one", "", binary));
  EXPECT_EQ(segments().size(), 2U);
}

TEST_F(WriteAheadLogTest, WhatIsCutOrDamagedIsLeftOut) {
  {
    const auto log = *WriteAheadLog::open(log_);
    for (const char* record : {"first", "second", "third"}) ASSERT_TRUE(log->append(record));
  }
  const fs::path path = segments().at(0);
  const std::string whole = *read_file(path);
  size_t most = 3;
  for (size_t size = whole.size(); size-- > 0;) {
    fs::resize_file(path, size);
    const size_t left = read().size();
    EXPECT_LE(left, most) << size;
    EXPECT_GE(left + 1, most) << size;
    most = left;
  }
  for (size_t place = whole.find("first"); place < whole.size(); ++place) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ 0x20);
    std::ofstream(path, std::ios::binary) << damaged;
    const auto left = read();
    ASSERT_LT(left.size(), 3U) << place;
    for (size_t i = 0; i < left.size(); ++i) EXPECT_EQ(left[i], i == 0 ? "first" : "second");
  }
  std::ofstream(path, std::ios::binary) << std::string(whole.size(), '\0');
  EXPECT_THAT(read(), IsEmpty());
  std::ofstream(path, std::ios::binary) << "bitloop write-ahead log 2\n";
  EXPECT_EQ(WriteAheadLog::read(log_).error().code, "journal_unreadable");
}

TEST_F(WriteAheadLogTest, ZerosAtTheEndAreNoRecords) {
  {
    const auto log = *WriteAheadLog::open(log_);
    for (const char* record : {"first", ""}) ASSERT_TRUE(log->append(record));
  }
  const fs::path path = segments().at(0);
  for (const size_t more : {1U, 7U, 8U, 9U, 4096U}) {
    fs::resize_file(path, fs::file_size(path) + more);
    EXPECT_THAT(read(), ElementsAre("first", "")) << more;
  }
}

TEST_F(WriteAheadLogTest, AFolderThatCannotBeReadIsAnError) {
  std::ofstream(log_) << "a file";
  EXPECT_EQ(WriteAheadLog::read(log_).error().code, "io_error");
  EXPECT_EQ(WriteAheadLog::open(log_).error().code, "io_error");
}

TEST_F(WriteAheadLogTest, RecordsAreDroppedOnceTheyAreUsed) {
  const auto log = *WriteAheadLog::open(log_);
  auto held = std::make_unique<Result<WriteAheadLog::Entry>>(log->append("held"));
  std::atomic<bool> dropped = false;
  std::jthread dropper([&] {
    EXPECT_TRUE(log->checkpoint());
    dropped = true;
  });
  while (segments().size() < 2) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the new one is in use, too
  ASSERT_TRUE(log->append("later"));
  EXPECT_FALSE(dropped);
  EXPECT_THAT(read(), ElementsAre("held", "later"));
  held.reset();
  dropper.join();
  EXPECT_THAT(read(), ElementsAre("later"));
}

TEST_F(WriteAheadLogTest, AThreadDropsThemWhenThereIsMuch) {
  const auto log = *WriteAheadLog::open(log_, /*most_bytes=*/10'000);
  const std::string record(1'000, 'x');
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(log->append(record));
  for (int i = 0; i < 2'000 && read().size() > 20; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_LE(read().size(), 20U);
  ASSERT_TRUE(log->append("the last"));
  EXPECT_EQ(read().back(), "the last");
}

TEST_F(WriteAheadLogTest, ManyWritersBesideTheThreadLoseNothing) {
  constexpr int kWriters = 8, kEach = 100;
  const auto log = *WriteAheadLog::open(log_, /*most_bytes=*/4'000);
  std::vector<std::jthread> writers;
  for (int w = 0; w < kWriters; ++w)
    writers.emplace_back([&, w] {
      for (int i = 0; i < kEach; ++i) {
        const std::string record = std::to_string(w) + "." + std::to_string(i);
        const auto entry = log->append(record);
        ASSERT_TRUE(entry);
        if (i % 10 == 0) {
          EXPECT_THAT(read(), ::testing::Contains(record));  // it is held
        }
      }
    });
}

// No more than 64 bytes beside what is there: as on a disk that is full.
TEST_F(WriteAheadLogTest, WhatDidNotFitIsNotThereAndDoesNotHideWhatFollows) {
  const auto log = *WriteAheadLog::open(log_);
  ASSERT_TRUE(log->append("before"));
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit low = limit;
  low.rlim_cur = fs::file_size(segments().at(0)) + 64;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const auto large = log->append(std::string(1'000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(large.error().code, "io_error");
  ASSERT_TRUE(log->append("after"));
  EXPECT_THAT(read(), ElementsAre("before", "after"));
}

}  // namespace
}  // namespace bitloop::journal
