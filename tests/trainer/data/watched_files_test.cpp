#include "trainer/data/watched_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/scratch_folder.h"
#include "trainer/data/dataset.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

class WatchedFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(replace_file(path_, std::string(2 * kTokens, '\1')));
    auto opened = TokenStream::from_uint16_file(path_, 257 + 256);
    ASSERT_TRUE(opened) << opened.error().message;
    stream_ = std::move(*opened);
  }
  // Writes to the file as it is, the same inode.
  void write_at(off_t place, const std::string& text) {
    const auto fd = open_file(path_, O_WRONLY);
    ASSERT_EQ(::pwrite(fd->get(), text.data(), text.size(), place), std::ssize(text));
  }

  static constexpr size_t kTokens = 100'000;
  test_support::ScratchFolder folder_;
  const std::string path_ = (folder_.path() / "train.bin").string();
  TokenStream stream_;
};

TEST_F(WatchedFilesTest, WhatStaysAsItWasIsNoError) {
  EXPECT_TRUE(check_watched_files());
  int64_t id = 0;
  stream_.copy(5, 1, &id);
  EXPECT_TRUE(check_watched_files());
  // Another file of that name: the run goes on with the one that it opened.
  ASSERT_TRUE(replace_file(path_, "other"));
  EXPECT_TRUE(check_watched_files());
}

TEST_F(WatchedFilesTest, AFileThatIsWrittenToIsNamed) {
  write_at(40, "x");
  const Status changed = check_watched_files();
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, "infrastructure");
  EXPECT_THAT(changed.error().message, HasSubstr(path_ + " changed while the run read it"));
  stream_ = TokenStream::from_bytes("no file any more");
  EXPECT_TRUE(check_watched_files());
}

TEST_F(WatchedFilesTest, AFileThatGrowsIsNamed) {
  write_at(2 * kTokens, "more");
  EXPECT_THAT(check_watched_files().error().message, HasSubstr("200000 bytes before, 200004 now"));
}

TEST_F(WatchedFilesTest, AFileThatIsCutShortEndsTheProcessInWords) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const auto look = [&] {
    end_on_cut_files(ends[1], "the last record\n", 3);
    if (::truncate(path_.c_str(), 10) != 0) return;
    std::vector<int64_t> ids(1);
    stream_.copy(kTokens - 1, 1, ids.data());
  };
  EXPECT_EXIT(look(), testing::ExitedWithCode(3), "a data file was cut short");
  char text[64] = {};
  EXPECT_EQ(::read(ends[0], text, sizeof text), 16);
  EXPECT_STREQ(text, "the last record\n");
}

TEST_F(WatchedFilesTest, AnotherBusErrorIsAFaultAsBefore) {
  const auto fault = [&] {
    end_on_cut_files(-1, "", 3);
    const auto fd = open_file(path_, O_RDONLY);
    auto* mapped = static_cast<const volatile char*>(
        ::mmap(nullptr, 2 * kTokens, PROT_READ, MAP_PRIVATE, fd->get(), 0));
    if (::truncate(path_.c_str(), 10) == 0) (void)mapped[2 * kTokens - 1];
  };
  EXPECT_EXIT(fault(), testing::KilledBySignal(SIGABRT), "");
}

}  // namespace
}  // namespace bitloop::trainer
