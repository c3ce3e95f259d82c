#include "trainer/device/device.h"

#include <unistd.h>

#include <algorithm>

#include "tests/trainer/device/fixture.h"

namespace bitloop::trainer {
namespace {

// Before any test, and before anything of LibTorch runs.
class OpenFirst : public testing::Environment {
  void SetUp() override { (void)cuda_device(); }
};
[[maybe_unused]] const auto* const kOpenFirst =
    testing::AddGlobalTestEnvironment(new OpenFirst);  // GoogleTest's from here on

TEST(Device, TheCpuIsAlwaysThere) {
  const auto opened = open_device("cpu");
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->is_cpu());
  EXPECT_EQ(device_name(*opened), "cpu");
  EXPECT_EQ(device_memory(*opened), 0u);
  EXPECT_EQ(device_peak_memory(*opened), 0u);
}

TEST(Device, AutoTakesTheGpuWhereThereIsADriver) {
  EXPECT_EQ(choose_device("cpu"), "cpu");
  EXPECT_EQ(choose_device("cuda"), "cuda");
  const bool seen = ::access("/dev/nvidiactl", F_OK) == 0;
  EXPECT_TRUE(seen || choose_device("auto") == "cpu");
  EXPECT_TRUE(!cuda_device() || choose_device("auto") == "cuda");
}

TEST(Device, WhatIsMissingIsSaidInOneSentence) {
  const auto unknown = open_device("tpu");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, "device_unavailable");
  if (cuda_device()) return;
  const Error& error = cuda_device().error();
  EXPECT_EQ(error.code, "device_unavailable");
  EXPECT_NE(error.message.find("train.device=cpu"), std::string::npos) << error.message;
  EXPECT_EQ(std::ranges::count(error.message, '\n'), 0) << error.message;
}

using OpenDevice = DeviceTest;

TEST_F(OpenDevice, HasANameAndMemory) {
  EXPECT_FALSE(device_name(cuda()).empty());
  EXPECT_NE(device_name(cuda()), "cpu");
  EXPECT_GT(device_memory(cuda()), uint64_t{1} << 30);
  const at::Tensor large = at::ones({1 << 22}, at::TensorOptions(at::kFloat).device(cuda()));
  EXPECT_GE(device_peak_memory(cuda()), uint64_t{16} << 20);
}

// TF32 keeps 10 bits: a product of numbers with 20 would be wrong in the fourth decimal.
TEST_F(OpenDevice, ProductsOfFloat32AreOfFloat32) {
  const at::TensorOptions options = at::TensorOptions(at::kFloat).device(cuda());
  const at::Tensor a = at::full({64, 64}, 1.0 + 0x1p-20, options), b = at::ones({64, 64}, options);
  EXPECT_TRUE(at::equal(at::mm(a, b), at::full({64, 64}, 64.0 + 0x1p-14, options)));
}

}  // namespace
}  // namespace bitloop::trainer
