#include "trainer/tokenizer/tokenizer_file.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "harness/base/fd.h"
#include "trainer/tokenizer/gpt2.h"
#include "trainer/tokenizer/huggingface.h"

namespace bitloop::tokenizer {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

TEST(TokenizerFile, OfBytesHasEachByteAsItsNumber) {
  const auto tokenizer = HuggingFace::parse(tokenizer_file_of_bytes());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->size(), 256);
  Ids all(256);
  std::iota(all.begin(), all.end(), 0);
  std::string bytes;
  for (const int32_t id : all) bytes += static_cast<char>(id);
  EXPECT_EQ((*tokenizer)->encode(bytes), all);
  EXPECT_EQ((*tokenizer)->decode(all).value(), bytes);
  EXPECT_FALSE((*tokenizer)->is_special(0));
}

TEST(TokenizerFile, OfGpt2IsGpt2) {
  const auto merges = read_file(BITLOOP_SOURCE_DIR "/.deps/data/gpt2-bpe/vocab.bpe");
  ASSERT_TRUE(merges) << merges.error().message;  // setup puts it there
  const auto file = tokenizer_file_of_gpt2(*merges, "vocab.bpe");
  ASSERT_TRUE(file) << file.error().message;
  const auto made = HuggingFace::parse(*file);
  ASSERT_TRUE(made) << made.error().message;
  const Gpt2 gpt2 = Gpt2::from_merges(*merges, "vocab.bpe").value();
  EXPECT_EQ((*made)->size(), Gpt2::kSize);
  EXPECT_EQ((*made)->special("<|endoftext|>"), Gpt2::kEndOfText);
  const json cases =
      json::parse(read_file(BITLOOP_SOURCE_DIR "/tests/e2e/golden/tokenizers/cases.json").value());
  for (const std::string text : cases.at("texts"))
    EXPECT_EQ((*made)->encode(text), gpt2.encode(text, Special::kToken)) << text;
  // OpenAI's own numbering.
  const auto encoder = read_file(BITLOOP_SOURCE_DIR "/.deps/data/gpt2-bpe/encoder.json");
  ASSERT_TRUE(encoder);
  EXPECT_EQ(json::parse(*file).at("model").at("vocab"), json::parse(*encoder));
}

TEST(TokenizerFile, OfMergesThatAreNoneIsRefused) {
  const auto file = tokenizer_file_of_gpt2("#version: 0.2\na b\n", "vocab.bpe");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, "data_unavailable");
}

}  // namespace
}  // namespace bitloop::tokenizer
