#include "trainer/device/kernel_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/scratch_folder.h"

namespace bitloop::trainer {
namespace {

class KernelFileTest : public testing::Test {
 protected:
  std::unique_ptr<KernelFile> open() {
    auto file = KernelFile::open(path_);
    EXPECT_TRUE(file) << (file ? "" : file.error().message);
    return std::move(*file);
  }
  std::string content() const { return *read_file(path_); }
  void write(const std::string& text) { ASSERT_TRUE(replace_file(path_, text)); }

  test_support::ScratchFolder folder_;
  const std::string path_ = (folder_.path() / "kernels.cache").string();
};

TEST_F(KernelFileTest, WhatWasKeptIsFoundByTheNextProcess) {
  const std::string image(
      "\x7f"
      "ELF\0binary\n",
      12);
  {
    const auto file = open();
    EXPECT_EQ(file->find("a"), std::nullopt);
    file->keep("a", image);
    file->keep("b", "second");
    EXPECT_EQ(file->find("a"), image);
  }
  const auto again = open();
  EXPECT_EQ(again->size(), 2u);
  EXPECT_EQ(again->find("a"), image);
  EXPECT_EQ(again->find("b"), "second");
  EXPECT_EQ(again->find("c"), std::nullopt);
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0077u, 0u);
}

TEST_F(KernelFileTest, ATornRecordIsNotReadAndTheNextIsWrittenOverIt) {
  {
    const auto file = open();
    file->keep("a", "first");
    file->keep("b", std::string(1000, 'x'));
  }
  const std::string whole = content();
  for (const size_t left : {whole.size() - 1, whole.size() - 999, whole.size() - 1010}) {
    write(whole.substr(0, left));
    {
      const auto file = open();
      EXPECT_EQ(file->find("a"), "first") << left;
      EXPECT_EQ(file->find("b"), std::nullopt) << left;
      file->keep("c", "third");
    }
    const auto again = open();
    EXPECT_EQ(again->size(), 2u) << left;
    EXPECT_EQ(again->find("c"), "third") << left;
  }
}

TEST_F(KernelFileTest, AFlippedBitAnywhereIsNoticed) {
  open()->keep("key", "an image of some bytes");
  const std::string whole = content();
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] ^= 4;
    write(damaged);
    const auto found = open()->find("key");
    EXPECT_EQ(found, std::nullopt) << i;
  }
}

TEST_F(KernelFileTest, ForeignFilesAreTakenForEmptyOnes) {
  for (const std::string& text :
       {std::string("x"), std::string(4096, '\0'), "bitcubin" + std::string(4096, '\xff')}) {
    write(text);
    const auto file = open();
    EXPECT_EQ(file->size(), 0u);
    file->keep("a", "image");
    EXPECT_EQ(open()->find("a"), "image");
  }
  std::filesystem::remove(path_);
  std::filesystem::create_symlink("/etc/passwd", path_);
  EXPECT_FALSE(KernelFile::open(path_));
}

TEST_F(KernelFileTest, ItsSizeIsBounded) {
  const auto file = open();
  const std::string large(kMostKernelBytes / 4 * 3, 'x');
  file->keep("a", large);
  file->keep("b", large);
  EXPECT_TRUE(file->find("a"));
  EXPECT_FALSE(file->find("b"));
  EXPECT_LE(content().size(), kMostKernelBytes);
}

}  // namespace
}  // namespace bitloop::trainer
