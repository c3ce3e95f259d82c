#include "trainer/checkpoint/safetensors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/base/fd.h"
#include "trainer/checkpoint/mapped_tensors.h"

namespace bitloop::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string file_of(const NamedTensors& tensors) {
  const UniqueFd fd(::memfd_create("tensors", MFD_CLOEXEC));
  EXPECT_TRUE(write_safetensors(fd.get(), tensors));
  ::lseek(fd.get(), 0, SEEK_SET);
  return *read_all(fd.get());
}

Result<MappedTensors> load(const std::string& file) {
  const UniqueFd fd(::memfd_create("tensors", MFD_CLOEXEC));
  EXPECT_TRUE(write_all(fd.get(), file));
  return MappedTensors::parse(*MappedFile::map(fd.get()));
}

TEST(Safetensors, ComesBackBitForBit) {
  const at::Tensor a = at::randn({3, 5}), b = at::scalar_tensor(1.5f),
                   narrow = at::randn({7}).to(at::kBFloat16), bytes = at::arange(5).to(at::kByte);
  const auto loaded = load(file_of({{"a", a}, {"b", b}, {"narrow", narrow}, {"bytes", bytes}}));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_TRUE(at::equal(a, *loaded->get("a")));
  EXPECT_TRUE(at::equal(b, *loaded->get("b")));
  EXPECT_TRUE(at::equal(narrow.to(at::kFloat), *loaded->get("narrow")));
  EXPECT_THAT(loaded->bytes("bytes"), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(loaded->shape("a"), ElementsAre(3, 5));
  EXPECT_THAT(loaded->names(), ElementsAre("a", "b", "bytes", "narrow"));
  EXPECT_THAT(loaded->get("bytes").error().message, HasSubstr("U8, which is not read"));
  EXPECT_THAT(loaded->get("c").error().message, HasSubstr("has no tensor 'c'"));
}

TEST(Safetensors, EveryCutAndAHostileHeaderAreRefused) {
  const std::string whole = file_of({{"a", at::randn({3, 5})}});
  for (size_t length = 0; length < whole.size(); length += 7)
    EXPECT_FALSE(load(whole.substr(0, length))) << length;
  EXPECT_EQ(load(std::string(8, '\xff') + "{}").error().code, "bad_weights");
  EXPECT_THAT(load(whole + "more").error().message, HasSubstr("bytes that belong to none"));
}

TEST(Safetensors, PartsOfAModelMayNotShareAName) {
  auto first = load(file_of({{"a", at::ones({2})}}));
  ASSERT_TRUE(first->add(*load(file_of({{"b", at::zeros({2})}}))));
  EXPECT_TRUE(first->has("a") && first->has("b"));
  EXPECT_THAT(first->add(*load(file_of({{"a", at::zeros({2})}}))).error().message,
              HasSubstr("'a', which another file"));
}

}  // namespace
}  // namespace bitloop::trainer
