#include "harness/base/fd.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "tests/support/scratch_folder.h"

namespace bitloop {
namespace {

using ::testing::HasSubstr;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(UniqueFd, ClosesWhatItOwnsOnce) {
  int first = -1;
  {
    UniqueFd fd(::open("/dev/null", O_RDONLY));
    first = fd.get();
    ASSERT_TRUE(fd.valid());
    UniqueFd moved = std::move(fd);
    EXPECT_FALSE(fd.valid());
    EXPECT_EQ(moved.get(), first);
    EXPECT_TRUE(is_open(first));
    UniqueFd other(::open("/dev/null", O_RDONLY));
    const int second = other.get();
    moved = std::move(other);
    EXPECT_FALSE(is_open(first));
    EXPECT_EQ(moved.release(), second);
    EXPECT_TRUE(is_open(second));
    moved.reset(second);
    first = second;
  }
  EXPECT_FALSE(is_open(first));
}

TEST(Errno, HasACodeForProgramsAndWordsForPeople) {
  EXPECT_EQ(errno_error("x", ENOENT).code, "file_not_found");
  EXPECT_EQ(errno_error("x", ENOSPC).code, "disk_full");
  EXPECT_EQ(errno_error("x", EDQUOT).code, "disk_full");
  EXPECT_EQ(errno_error("x", EACCES).code, "io_error");
  EXPECT_EQ(errno_error("the file", EACCES).message, "the file: Permission denied");
}

TEST(OpenFile, NamesTheFileItCannotOpen) {
  const auto missing = open_file("/nowhere/at all", O_RDONLY);
  EXPECT_EQ(missing.error().code, "file_not_found");
  EXPECT_THAT(missing.error().message, HasSubstr("/nowhere/at all"));
}

TEST(OpenFile, IsNotInherited) {
  const auto fd = open_file("/dev/null", O_RDONLY);
  EXPECT_TRUE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC);
  const auto pipe = make_pipe();
  EXPECT_TRUE(::fcntl(pipe->read.get(), F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(::fcntl(pipe->write.get(), F_GETFD) & FD_CLOEXEC);
}

TEST(WriteAll, GoesOnAfterShortWrites) {
  auto pipe = make_pipe().value();
  const std::string data(1'000'000, 'x');  // far more than a pipe holds
  std::string received;
  std::jthread reader([&] { received = read_all(pipe.read.get()).value(); });
  EXPECT_TRUE(write_all(pipe.write.get(), data));
  pipe.write.reset();
  reader.join();
  EXPECT_EQ(received, data);
}

TEST(WriteAll, SaysWhyItCannot) {
  const auto full = open_file("/dev/full", O_WRONLY);
  EXPECT_EQ(write_all(full->get(), "x").error().code, "disk_full");
  EXPECT_EQ(write_all(-1, "x").error().code, "io_error");
  EXPECT_TRUE(write_all(-1, ""));
}

TEST(ReadAll, HasALimit) {
  const test_support::ScratchFolder folder;
  ASSERT_TRUE(write_file_atomic(folder / "ten", "0123456789"));
  EXPECT_EQ(*read_file(folder / "ten", 10), "0123456789");
  const auto refused = read_file(folder / "ten", 9);
  EXPECT_EQ(refused.error().code, "too_large");
  EXPECT_THAT(refused.error().message, HasSubstr((folder / "ten").string()));
  EXPECT_EQ(read_file("/dev/zero", 1 << 20).error().code, "too_large");  // it has no end
  EXPECT_EQ(read_file(folder / "none").error().code, "file_not_found");
  EXPECT_FALSE(read_file(folder.path()));  // a folder
}

TEST(WriteFileAtomic, ReplacesTheWholeFileAndLeavesNothingElse) {
  const test_support::ScratchFolder folder;
  const std::string bytes("a\0b\xff\n", 5);
  ASSERT_TRUE(write_file_atomic(folder / "file", "something longer than what follows"));
  ASSERT_TRUE(write_file_atomic(folder / "file", bytes));
  EXPECT_EQ(*read_file(folder / "file"), bytes);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(ReplaceFile, ReplacesTheWholeFileAndLeavesNothingElse) {
  const test_support::ScratchFolder folder;
  ASSERT_TRUE(replace_file(folder / "file", "something longer than what follows"));
  ASSERT_TRUE(replace_file(folder / "file", "new"));
  EXPECT_EQ(*read_file(folder / "file"), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  EXPECT_EQ(replace_file(folder / "no/file", "x").error().code, "file_not_found");
}

TEST(WriteFileAtomic, AFailureLeavesTheOldFile) {
  const test_support::ScratchFolder folder;
  EXPECT_EQ(write_file_atomic(folder / "no/file", "x").error().code, "file_not_found");
  // The last step, the renaming, fails where the name is a folder's.
  std::filesystem::create_directories(folder / "taken/inside");
  EXPECT_EQ(write_file_atomic(folder / "taken", "x").error().code, "io_error");
  EXPECT_TRUE(std::filesystem::exists(folder / "taken/inside"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(SyncFolder, IsOfFolders) {
  const test_support::ScratchFolder folder;
  EXPECT_TRUE(sync_folder(folder.path()));
  EXPECT_TRUE(sync_folder(""));  // the working directory
  EXPECT_EQ(sync_folder(folder / "none").error().code, "file_not_found");
  EXPECT_FALSE(sync_folder("/dev/null"));
}

}  // namespace
}  // namespace bitloop
