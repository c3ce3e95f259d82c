#include "sandbox/elf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace bitloop::sandbox {
namespace {

TEST(ElfTest, FindsTheLoader) {
  const auto needs = read_elf_needs(BITLOOP_TEST_GUEST);
  ASSERT_TRUE(needs) << needs.error().message;
  EXPECT_TRUE(std::filesystem::exists(needs->loader)) << needs->loader;
}

TEST(ElfTest, NamesTheLibraries) {
  const auto needs = read_elf_needs(BITLOOP_TEST_GUEST);
  ASSERT_TRUE(needs) << needs.error().message;
  EXPECT_THAT(needs->libraries, ::testing::Contains("libc.so.6"));
}

TEST(ElfTest, RefusesWhatIsNoProgram) {
  EXPECT_EQ(read_elf_needs("/etc/passwd").error().code, "not_executable");
  EXPECT_EQ(read_elf_needs("/nonexistent").error().code, "file_not_found");
}

TEST(ElfTest, SurvivesATruncatedOrMangledProgram) {
  std::ifstream file(BITLOOP_TEST_GUEST, std::ios::binary);
  std::string image((std::istreambuf_iterator<char>(file)), {});
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("bitloop-elf-" + std::to_string(::getpid()));
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{100}, size_t{500}, image.size() / 2}) {
    std::ofstream(path, std::ios::binary) << image.substr(0, size);
    (void)read_elf_needs(path);
  }
  for (size_t at = 16; at < 1200; ++at) {
    std::string mangled = image;
    mangled[at] = '\xff';
    std::ofstream(path, std::ios::binary) << mangled.substr(0, 16384);
    (void)read_elf_needs(path);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace bitloop::sandbox
