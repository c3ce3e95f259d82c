#include "harness/journal/spare_files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <optional>

#include "tests/support/scratch_folder.h"

namespace bitloop::journal {
namespace {

size_t names_in(const std::filesystem::path& folder) {
  const std::filesystem::directory_iterator entries(folder);
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

TEST(NewFile, HasNoNameUntilItGetsOne) {
  test_support::ScratchFolder folder;
  auto file = NewFile::make(folder.path());
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(write_all(file->fd(), "content"));
  EXPECT_EQ(names_in(folder.path()), 0U);
  const auto named = file->name(folder / "a");
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_EQ(read_file(folder / "a").value(), "content");
  ASSERT_TRUE(write_all(named->get(), " and more"));
  EXPECT_EQ(read_file(folder / "a").value(), "content and more");
  struct stat info {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0644U);
}

TEST(NewFile, TakesNobodysName) {
  test_support::ScratchFolder folder;
  std::ofstream(folder / "a") << "another's";
  auto file = NewFile::make(folder.path());
  EXPECT_EQ(file->name(folder / "a").error().code, "exists");
  EXPECT_EQ(file->name(folder / "none" / "a").error().code, "file_not_found");
  EXPECT_TRUE(file->name(folder / "b"));  // what failed may be tried elsewhere
  EXPECT_EQ(read_file(folder / "a").value(), "another's");
  EXPECT_EQ(NewFile::make(folder / "none").error().code, "file_not_found");
}

TEST(NewFile, WithoutANameItIsGone) {
  test_support::ScratchFolder folder;
  { const auto file = NewFile::make(folder.path()); }
  { const auto file = NewFile::make_temporary(folder.path()); }
  EXPECT_EQ(names_in(folder.path()), 0U);
}

TEST(NewFile, IsTheSameWhereAllFilesHaveNames) {
  test_support::ScratchFolder folder;
  std::ofstream(folder / "b") << "another's";
  auto file = NewFile::make_temporary(folder.path());
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(write_all(file->fd(), "content"));
  EXPECT_EQ(names_in(folder.path()), 2U);
  EXPECT_EQ(file->name(folder / "b").error().code, "exists");
  EXPECT_EQ(file->name(folder / "none" / "a").error().code, "file_not_found");
  ASSERT_TRUE(file->name(folder / "a"));
  EXPECT_EQ(names_in(folder.path()), 2U);
  EXPECT_EQ(read_file(folder / "a").value(), "content");
  EXPECT_EQ(read_file(folder / "b").value(), "another's");
}

TEST(SpareFiles, AreAllDifferent) {
  test_support::ScratchFolder folder;
  SpareFiles spare(folder.path(), 4);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        auto file = spare.take();
        ASSERT_TRUE(file) << file.error().message;
        const std::string name = std::to_string(t) + "-" + std::to_string(i);
        ASSERT_TRUE(write_all(file->fd(), name));
        ASSERT_TRUE(file->name(folder / name));
      }
    });
  threads.clear();
  EXPECT_EQ(names_in(folder.path()), 200U);
  EXPECT_EQ(read_file(folder / "3-49").value(), "3-49");
}

TEST(SpareFiles, WithoutDescriptorsTheErrorIsTheCallers) {
  test_support::ScratchFolder folder;
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  std::vector<NewFile> held;
  std::optional<Error> error;
  {
    SpareFiles spare(folder.path(), 8);
    const rlimit few{64, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    while (!error) {
      auto file = spare.take();
      if (file)
        held.push_back(std::move(*file));
      else
        error = file.error();
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_TRUE(spare.take());
  }
  EXPECT_EQ(error->code, "io_error");
  EXPECT_GT(held.size(), 20U);
}

}  // namespace
}  // namespace bitloop::journal
