#include "trainer/loop/program_pages.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace bitloop::trainer {
namespace {

// Kilobytes of mapped files that are in memory.
int64_t resident_files() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "RssFile:") {
      int64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes;
    }
  return -1;
}

TEST(ProgramPages, AreFewerAfterwardsAndComeBack) {
  const at::Tensor x = at::arange(1000, at::kFloat);
  const float before = x.sin().sum().item<float>();
  const int64_t resident = resident_files();
  give_back_program_pages();
  EXPECT_LT(resident_files(), resident);
  EXPECT_EQ(x.sin().sum().item<float>(), before);
}

}  // namespace
}  // namespace bitloop::trainer
