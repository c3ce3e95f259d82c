#include "harness/tasks/ranks.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/scratch_folder.h"

namespace bitloop::tasks {
namespace {

using nlohmann::json;

int64_t ranks_of(int64_t wanted, const char* device, int64_t gpus, int64_t batch = 512) {
  const json preset = {{"train", {{"ranks", wanted}, {"device", device}, {"batch", batch}}}};
  return settle_ranks(preset, gpus)["train"]["ranks"];
}

TEST(Ranks, APresetHasNoMoreThanThereAreGpus) {
  EXPECT_EQ(ranks_of(2, "auto", 8), 2);
  EXPECT_EQ(ranks_of(2, "auto", 2), 2);
  EXPECT_EQ(ranks_of(2, "auto", 1), 1);
  EXPECT_EQ(ranks_of(2, "auto", 0), 1);
  EXPECT_EQ(ranks_of(8, "cuda", 3), 2);  // 3 do not divide the batch
  EXPECT_EQ(ranks_of(4, "cpu", 8), 1);
  EXPECT_FALSE(settle_ranks({{"train", {{"batch", 4}}}}, 8)["train"].contains("ranks"));
}

TEST(Ranks, CountsDeviceFilesAndHeedsWhatIsVisible) {
  test_support::ScratchFolder folder;
  EXPECT_EQ(gpus_here(folder.path()), 0);
  for (const char* name : {"nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"})
    std::ofstream(folder / name) << "";
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(gpus_here(folder.path()), 3);
  ::setenv("CUDA_VISIBLE_DEVICES", "1", 1);
  EXPECT_EQ(gpus_here(folder.path()), 1);
  ::setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_EQ(gpus_here(folder.path()), 0);
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(gpus_here("/nowhere"), 0);
}

}  // namespace
}  // namespace bitloop::tasks
