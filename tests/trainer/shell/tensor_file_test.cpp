#include "trainer/shell/tensor_file.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "harness/base/fd.h"

namespace bitloop::trainer::shell {
namespace {

using testing::HasSubstr;

// A file with this content, already read to its end: only offsets may be used.
UniqueFd file_of(const std::string& content) {
  UniqueFd fd(::memfd_create("tensors", MFD_CLOEXEC));
  EXPECT_TRUE(write_all(fd.get(), content));
  return fd;
}

std::string safetensors(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + data;
}

std::string error_of(const std::string& content, std::string_view wanted = "") {
  const UniqueFd fd = file_of(content);
  const auto read = read_tensor_file(fd.get(), wanted);
  EXPECT_FALSE(read) << "was read";
  return read ? "" : read.error().message;
}

constexpr const char* kTwo =
    R"({"__metadata__": {"a": "b"}, "half": {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]},
        "one": {"dtype": "I32", "shape": [], "data_offsets": [0, 4]}})";

TEST(TensorFile, SafetensorsGiveAllOrOne) {
  const UniqueFd fd =
      file_of(safetensors(kTwo, std::string("\x05\x00\x00\x00\x00\x3c\x00\xc0", 8)));
  const auto all = read_tensor_file(fd.get(), "");
  ASSERT_TRUE(all);
  ASSERT_EQ(all->named.size(), 2u);
  EXPECT_EQ(all->named[0].first, "half");
  EXPECT_TRUE(all->named[0].second.equal(at::tensor({1.f, -2.f})));
  EXPECT_TRUE(all->named[1].second.equal(at::scalar_tensor(5)));
  const auto one = read_tensor_file(fd.get(), "one");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->tensor.item<float>(), 5.f);
}

TEST(TensorFile, WhatIsNeitherFormatIsRefused) {
  for (const std::string& content : {std::string(), std::string("12345678"), std::string(64, '\xff'),
                                    safetensors("[1]", ""), safetensors("{", "")})
    EXPECT_THAT(error_of(content), HasSubstr("neither a .npy nor a .safetensors")) << content;
}

TEST(TensorFile, HostileHeadersAreRefused) {
  const auto entry = [](const std::string& fields) {
    return safetensors("{\"t\": {" + fields + "}}", std::string(8, '\0'));
  };
  const std::string dtype = R"("dtype": "F32", )";
  EXPECT_THAT(error_of(entry(dtype + R"("shape": [2], "data_offsets": [0, 16])")),
              HasSubstr("lies where it can't"));
  EXPECT_THAT(error_of(entry(dtype + R"("shape": [2], "data_offsets": [8, 0])")),
              HasSubstr("lies where it can't"));
  EXPECT_THAT(error_of(entry(dtype + R"("shape": [3], "data_offsets": [0, 8])")),
              HasSubstr("lies where it can't"));
  EXPECT_THAT(error_of(entry(dtype + R"("shape": [-2], "data_offsets": [0, 8])")),
              HasSubstr("wrong header entry"));
  EXPECT_THAT(error_of(entry(dtype + R"("shape": "2", "data_offsets": [0, 8])")),
              HasSubstr("wrong header entry"));
  EXPECT_THAT(
      error_of(entry(dtype + R"("shape": [4294967296, 4294967296], "data_offsets": [0, 8])")),
      HasSubstr("more than the 1024 MiB"));
  EXPECT_THAT(error_of(entry(R"("dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8])")),
              HasSubstr("as F8_E4M3"));
  EXPECT_THAT(error_of(safetensors(R"({"t": 5})", "")), HasSubstr("wrong header entry"));
}

TEST(TensorFile, ManyNamesOfOneTensorDoNotAddUp) {
  std::string header = "{";
  for (int i = 0; i < 40; ++i)
    header += (i ? ",\"" : "\"") + std::to_string(i) +
              R"(": {"dtype": "I8", "shape": [8388608], "data_offsets": [0, 8388608]})";
  EXPECT_THAT(error_of(safetensors(header + "}", std::string(8388608, '\0'))),
              HasSubstr("more than the 1024 MiB"));
}

TEST(TensorFile, NamesThatAreNotThere) {
  const std::string file = safetensors(kTwo, std::string(8, '\0'));
  EXPECT_THAT(error_of(file, "hal"), HasSubstr("no tensor 'hal', did you mean 'half'?"));
  EXPECT_THAT(error_of(std::string("\x93NUMPY\x01\x00", 8), "x"),
              HasSubstr("one tensor without a name"));
}

}  // namespace
}  // namespace bitloop::trainer::shell
