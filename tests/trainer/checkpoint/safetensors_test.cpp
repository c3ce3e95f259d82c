#include "trainer/checkpoint/safetensors.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/base/fd.h"

namespace bitloop::trainer {
namespace {

class SafetensorsTest : public testing::Test {
 protected:
  std::string path_ = testing::TempDir() + "bitloop-weights-" +
                      testing::UnitTest::GetInstance()->current_test_info()->name() +
                      ".safetensors";

  void save(const NamedTensors& tensors) {
    auto fd = open_file(path_, O_WRONLY | O_CREAT | O_TRUNC);
    ASSERT_TRUE(write_safetensors(fd->get(), tensors));
  }
  Status load(const NamedTensors& tensors) {
    auto fd = open_file(path_, O_RDONLY);
    return read_safetensors(fd->get(), tensors);
  }
};

TEST_F(SafetensorsTest, ComesBackBitForBit) {
  const at::Tensor a = at::randn({3, 5}), b = at::scalar_tensor(1.5f);
  save({{"a", a}, {"b", b}});
  const at::Tensor a2 = at::zeros({3, 5}), b2 = at::zeros({});
  const Status loaded = load({{"b", b2}, {"a", a2}});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_TRUE(at::equal(a, a2));
  EXPECT_TRUE(at::equal(b, b2));
}

TEST_F(SafetensorsTest, RefusesWhatDoesNotFit) {
  save({{"a", at::randn({3, 5})}});
  EXPECT_THAT(load({{"a", at::zeros({5, 3})}}).error().message,
              testing::HasSubstr("another shape"));
  EXPECT_THAT(load({{"b", at::zeros({3, 5})}}).error().message,
              testing::HasSubstr("not in the weights file"));
}

TEST_F(SafetensorsTest, RefusesEveryCutAndAHostileHeader) {
  save({{"a", at::randn({3, 5})}});
  const std::string whole = *read_file(path_);
  for (size_t length = 0; length < whole.size(); length += 7) {
    ASSERT_TRUE(write_file_atomic(path_, whole.substr(0, length)));
    EXPECT_FALSE(load({{"a", at::zeros({3, 5})}})) << length;
  }
  ASSERT_TRUE(write_file_atomic(path_, std::string(8, '\xff') + "{}"));
  EXPECT_EQ(load({{"a", at::zeros({3, 5})}}).error().code, "bad_weights");
}

}  // namespace
}  // namespace bitloop::trainer
