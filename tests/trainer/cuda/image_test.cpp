#include "trainer/cuda/image.h"

#include <gtest/gtest.h>

#include <map>

namespace bitloop::cuda {
namespace {

constexpr const char* kSource =
    "extern \"C\" __global__ void add(float* x) { x[threadIdx.x] += 1.0f; }";

// What a file would keep, in memory, with a count of what was asked.
struct Kept : kernels::KernelCache {
  std::map<std::string, std::string, std::less<>> images;
  int found = 0, kept = 0;

  std::optional<std::string> find(std::string_view key) override {
    const auto image = images.find(key);
    if (image == images.end()) return std::nullopt;
    ++found;
    return image->second;
  }
  void keep(std::string_view key, std::string_view image) override {
    ++kept;
    images[std::string(key)] = image;
  }
};

TEST(Image, IsCompiledOnceForOneTextArchitectureAndVersion) {
  Kept cache;
  std::string why;
  const std::string first = compile_image(kSource, 90, &cache, why);
  ASSERT_GT(first.size(), 100u) << why;
  EXPECT_EQ(first.substr(1, 3), "ELF");
  EXPECT_EQ(compile_image(kSource, 90, &cache, why), first);
  EXPECT_EQ(cache.kept, 1);
  EXPECT_EQ(cache.found, 1);
  EXPECT_NE(compile_image(kSource, 80, &cache, why), first);
  EXPECT_NE(compile_image(std::string(kSource) + " // another", 90, &cache, why), "");
  EXPECT_EQ(cache.kept, 3);
  EXPECT_EQ(cache.found, 1);
}

TEST(Image, IsKeptUnderAllThatItDependsOn) {
  const std::string key = image_key(kSource, 90);
  EXPECT_NE(key.find(kSource), key.npos);
  EXPECT_NE(key.find("sm_90"), key.npos);
  EXPECT_NE(key.find("--fmad=false"), key.npos);
  EXPECT_NE(key.find("NVRTC 1"), key.npos);
  EXPECT_NE(key, image_key(kSource, 80));
}

TEST(Image, WhatDoesNotCompileIsNotKept) {
  Kept cache;
  std::string why;
  EXPECT_EQ(compile_image("not CUDA", 90, &cache, why), "");
  EXPECT_NE(why.find("error"), why.npos) << why;
  EXPECT_EQ(cache.kept, 0);
}

}  // namespace
}  // namespace bitloop::cuda
