#include "trainer/tokenizer/gpt2.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "harness/base/fd.h"
#include "tests/trainer/shared_data.h"

namespace bitloop::tokenizer {
namespace {

namespace fs = std::filesystem;

const Gpt2& gpt2() {
  static const Gpt2 loaded = [] {
    auto made = Gpt2::load(fs::path(BITLOOP_DEPS_DIR) / "data/gpt2-bpe");
    if (!made) throw std::runtime_error(made.error().message);
    return *std::move(made);
  }();
  return loaded;
}

using Ids = std::vector<int32_t>;

std::string back(const Ids& ids) {
  const auto text = gpt2().decode(ids);
  return text ? *text : "?";
}

TEST(Gpt2Tokenizer, EncodesAsEverybodyDoes) {
  EXPECT_EQ(gpt2().encode("Hello world"), (Ids{15496, 995}));
  EXPECT_EQ(gpt2().encode(""), Ids{});
  EXPECT_EQ(gpt2().encode("!"), Ids{0});
  EXPECT_EQ(gpt2().encode(" "), Ids{220});
  EXPECT_EQ(gpt2().encode("\n\n"), Ids{628});
  EXPECT_EQ(gpt2().encode("Unicode snowman: ☃️"),
            (Ids{3118, 291, 1098, 6729, 805, 25, 34719, 225, 37929}));
}

TEST(Gpt2Tokenizer, EndOfTextIsATokenOnlyWhereAskedFor) {
  const std::string text = "a<|endoftext|>b";
  EXPECT_EQ(gpt2().encode(text, Special::kToken), (Ids{64, 50256, 65}));
  const Ids plain = gpt2().encode(text);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), Gpt2::kEndOfText), 0);
  EXPECT_EQ(back(plain), text);
  EXPECT_EQ(back({64, 50256, 65}), text);
}

TEST(Gpt2Tokenizer, AnIdThatIsNoTokenIsNamed) {
  const auto text = gpt2().decode(Ids{1, 50257});
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().message, "50257 is no token of GPT-2: they are 0 to 50256");
  EXPECT_FALSE(gpt2().decode(Ids{-1}));
}

// Bytes of all kinds: whole characters of every plane, broken ones, runs.
std::string noise(std::mt19937& random, size_t length) {
  std::string text;
  while (text.size() < length) {
    const uint32_t kind = random() % 8, n = 1 + random() % 6;
    for (uint32_t i = 0; i < n; ++i) {
      const uint32_t point = kind == 0   ? random() % 0x110000
                             : kind == 1 ? random() % 0x3000
                             : kind == 2 ? 'a' + random() % 26
                             : kind == 3 ? " \t\n'"[random() % 4]
                             : kind == 4 ? '0' + random() % 10
                                         : random() % 256;
      if (kind >= 5 || point < 0x80) {
        text += static_cast<char>(point);
      } else if (point < 0x800) {
        text += {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))};
      } else if (point < 0x10000) {
        text +=
            {static_cast<char>(0xe0 | point >> 12), static_cast<char>(0x80 | (point >> 6 & 0x3f)),
             static_cast<char>(0x80 | (point & 0x3f))};
      } else {
        text +=
            {static_cast<char>(0xf0 | point >> 18), static_cast<char>(0x80 | (point >> 12 & 0x3f)),
             static_cast<char>(0x80 | (point >> 6 & 0x3f)),
             static_cast<char>(0x80 | (point & 0x3f))};
      }
    }
  }
  return text;
}

TEST(Gpt2Tokenizer, AnyBytesComeBack) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string text = noise(random, 1 + random() % 300);
    ASSERT_EQ(back(gpt2().encode(text)), text) << i;
  }
}

TEST(Gpt2Tokenizer, PartsOfATextMakeTheSameTokens) {
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    const std::string text =
        i % 3 == 0 ? "x 're'l'll 'r" + noise(random, 20) + "   y\n\n 'v 've" : noise(random, 200);
    const Ids want = gpt2().encode(text);
    Gpt2::Stream stream(gpt2());
    Ids got;
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min<size_t>(text.size() - at, random() % 7);
      stream.add(std::string_view(text).substr(at, n), got);
      at += n;
    }
    stream.finish(got);
    ASSERT_EQ(got, want) << i;
  }
}

// The two ways to merge agree, and the long one takes no quadratic time: these would take hours.
TEST(Gpt2Tokenizer, PiecesOfAMillionLettersAreMerged) {
  for (const std::string letter : {"a", " ", "é", "\xff"}) {
    std::string text;
    while (text.size() < 1'000'000) text += letter;
    const Ids ids = gpt2().encode(text);
    EXPECT_EQ(back(ids), text);
    Gpt2::Stream stream(gpt2());
    Ids streamed;
    for (size_t at = 0; at < text.size(); at += 997)
      stream.add(std::string_view(text).substr(at, 997), streamed);
    stream.finish(streamed);
    EXPECT_EQ(streamed, ids);
  }
}

TEST(Gpt2Tokenizer, ABrokenVocabularyIsNamed) {
  const fs::path folder = fs::path(testing::TempDir()) / "bitloop-vocabulary";
  fs::create_directories(folder);
  const auto load = [&](const std::string& text) {
    std::ofstream(folder / "vocab.bpe") << text;
    const auto made = Gpt2::load(folder);
    return made ? std::string("loaded") : made.error().message;
  };
  EXPECT_NE(load("#version: 0.2\nh e\nhe l\n").find("2 merges, expected 50000"), std::string::npos);
  EXPECT_NE(load("#version: 0.2\nh e\nq\n").find("line 3 is no merge"), std::string::npos);
  EXPECT_NE(load("#version: 0.2\nhx e\n").find("line 2 is no merge"), std::string::npos);
  fs::remove_all(folder);
  EXPECT_FALSE(Gpt2::load(folder));
}

// 600 random texts of all planes, by tests/trainer/tokenizer/make_vectors.py.
TEST(Gpt2Tokenizer, EqualsTiktokenOnRandomUnicode) {
  std::ifstream stream(fs::path(BITLOOP_SOURCE_DIR) /
                       "tests/trainer/tokenizer/unicode_vectors.json");
  size_t count = 0;
  for (const auto& vector : nlohmann::json::parse(stream)) {
    const std::string text = vector.at("text");
    EXPECT_EQ(gpt2().encode(text), vector.at("ids").get<Ids>()) << vector.at("text").dump();
    ++count;
  }
  EXPECT_EQ(count, 600u);
}

TEST(Gpt2Tokenizer, EqualsTheVectorsOfOthers) {
  const fs::path folder = unpacked("gpt2-bpe");
  if (folder.empty()) GTEST_SKIP() << "the vectors are not here (set BITLOOP_SHARED_DATA)";
  std::ifstream stream(folder / "gpt2-bpe-vectors/vectors.dev.json");
  size_t count = 0;
  for (const auto& vector : nlohmann::json::parse(stream)) {
    const std::string text = vector.at("text");
    const auto ids = vector.at("ids").get<Ids>();
    const bool special = std::count(ids.begin(), ids.end(), Gpt2::kEndOfText) > 0;
    EXPECT_EQ(gpt2().encode(text, special ? Special::kToken : Special::kText), ids) << text;
    EXPECT_EQ(back(ids), text);
    ++count;
  }
  EXPECT_GT(count, 400u);
}

// Text that others encoded: tokens to text to tokens.
TEST(Gpt2Tokenizer, ReencodesWholeFilesOfTokens) {
  const fs::path folder = unpacked("text-small");
  if (folder.empty()) GTEST_SKIP() << "the texts are not here (set BITLOOP_SHARED_DATA)";
  for (const char* name :
       {"tinyshakespeare/val.bin", "tinyshakespeare/train.bin", "tinystories-gpt2-tokens/val.bin",
        "owt-gpt2-tokens/nanogpt_pr_val.bin"}) {
    const auto bytes = read_file(folder / name);
    ASSERT_TRUE(bytes);
    Ids ids;
    for (size_t i = 0; i + 1 < bytes->size(); i += 2)
      ids.push_back(static_cast<uint8_t>((*bytes)[i]) | static_cast<uint8_t>((*bytes)[i + 1]) << 8);
    EXPECT_EQ(gpt2().encode(back(ids), Special::kToken), ids) << name;
  }
}

}  // namespace
}  // namespace bitloop::tokenizer
