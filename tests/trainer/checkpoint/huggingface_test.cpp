#include "trainer/checkpoint/huggingface.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "harness/base/fd.h"
#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

MappedTensors mapped(const NamedTensors& tensors) {
  const UniqueFd fd(::memfd_create("tensors", MFD_CLOEXEC));
  EXPECT_TRUE(write_safetensors(fd.get(), tensors));
  auto parsed = MappedTensors::parse(*MappedFile::map(fd.get()));
  EXPECT_TRUE(parsed);
  return *parsed;
}

ModelConfig config(bool bias) {
  ModelConfig made = small_model();
  made.bias = bias;
  return made;
}

TEST(HuggingFace, WhatIsExportedIsTheSameModelWhenItIsRead) {
  const at::NoGradGuard no_grad;
  for (const bool bias : {true, false}) {
    Transformer model(config(bias), false, 5);
    for (const auto& [name, tensor] : model.named_parameters())
      if (tensor.dim() == 1) tensor.detach().add_(at::randn(tensor.sizes()), 0.1);
    const auto read = read_huggingface_config(huggingface_config(model.config()));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->padded_vocab_size, model.config().vocab_size);
    Transformer other = Transformer::empty(*read, false);
    const Status loaded = load_huggingface(mapped(huggingface_tensors(model)), other);
    ASSERT_TRUE(loaded) << loaded.error().message;
    const ForwardContext context;
    ASSERT_TRUE(model.quantize_weights(context));
    ASSERT_TRUE(other.quantize_weights(context));
    const at::Tensor ids = at::randint(17, {2, 12}, at::kLong);
    const at::Tensor a = model.forward(ids, context)->narrow(1, 0, 17),
                     b = *other.forward(ids, context);
    EXPECT_LE((a - b).abs().max().item<float>(), 1e-6f);
  }
}

TEST(HuggingFace, AHeadOfItsOwnIsRefused) {
  Transformer model(config(true), false, 5);
  NamedTensors tensors = huggingface_tensors(model);
  const at::Tensor wte = model.named_parameters().front().second.detach().narrow(0, 0, 17);
  Transformer other =
      Transformer::empty(*read_huggingface_config(huggingface_config(model.config())), false);
  tensors.emplace_back("lm_head.weight", wte);
  EXPECT_TRUE(load_huggingface(mapped(tensors), other));
  tensors.back().second = wte + 1;
  const Status refused = load_huggingface(mapped(tensors), other);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("'lm_head.weight' is not the token embedding"));
}

std::string parse_error(const std::string& content) {
  const UniqueFd fd(::memfd_create("tensors", MFD_CLOEXEC));
  EXPECT_TRUE(write_all(fd.get(), content));
  const auto parsed = MappedTensors::parse(*MappedFile::map(fd.get()));
  if (!parsed) return parsed.error().message;
  const auto tensor = parsed->get("x");
  return tensor ? "read" : tensor.error().message;
}

std::string file(const std::string& header, size_t data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data, '\1');
}

TEST(MappedTensors, WhatIsNoSafetensorsFileIsToldWhy) {
  EXPECT_EQ(parse_error(file(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8)),
            "read");
  EXPECT_EQ(parse_error(file(R"({"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})", 4)),
            "read");
  EXPECT_EQ(parse_error(""), "is cut short");
  EXPECT_EQ(parse_error("1234567"), "is cut short");
  EXPECT_THAT(parse_error(std::string(16, '\xff')), HasSubstr("no safetensors file"));
  EXPECT_THAT(parse_error(file("[]", 0)), HasSubstr("its header is not JSON"));
  EXPECT_THAT(parse_error(file(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", 8)),
              HasSubstr("'x' lies beyond its end"));
  EXPECT_THAT(parse_error(file(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8)),
              HasSubstr("'x' lies beyond its end"));
  EXPECT_THAT(parse_error(file(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8)),
              HasSubstr("another number of bytes"));
  EXPECT_THAT(parse_error(file(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8)),
              HasSubstr("wrong header entry"));
  EXPECT_THAT(
      parse_error(
          file(R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8)),
      HasSubstr("wrong header entry"));
  EXPECT_THAT(parse_error(file(R"({"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", 8)),
              HasSubstr("which is not read"));
  // No whole numbers: found by fuzzing, as a conversion without a defined result.
  for (const char* shape : {"[4.6e19]", "[1.5]", "[18446744073709551615]", "[[2]]"})
    EXPECT_THAT(
        parse_error(file(
            fmt::format(R"({{"x":{{"dtype":"F32","shape":{},"data_offsets":[0,8]}}}})", shape), 8)),
        HasSubstr("wrong header entry for 'x'"));
  EXPECT_THAT(parse_error(file(R"({"x":3})", 0)), HasSubstr("wrong header entry for 'x'"));
  EXPECT_EQ(parse_error(file("{}", 0)), "has no tensor 'x'");
}

}  // namespace
}  // namespace bitloop::trainer
