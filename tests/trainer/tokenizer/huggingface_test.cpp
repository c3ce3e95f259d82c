#include "trainer/tokenizer/huggingface.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "harness/base/fd.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::tokenizer {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

std::string golden(const std::string& name) {
  return read_file(std::string(BITLOOP_SOURCE_DIR) + "/tests/e2e/golden/tokenizers/" + name +
                   ".json")
      .value();
}

class HuggingFaceTokenizer : public testing::TestWithParam<const char*> {};

// golden/make_tokenizers.py asked the library `tokenizers`.
TEST_P(HuggingFaceTokenizer, MakesTheTokensThatTheLibraryMakes) {
  const json cases = json::parse(golden("cases"));
  const json& wanted = cases.at("tokenizers").at(GetParam());
  const auto made = HuggingFace::parse(golden(GetParam()));
  ASSERT_TRUE(made) << made.error().message;
  const HuggingFace& tokenizer = **made;
  EXPECT_EQ(tokenizer.size(), wanted.at("size"));
  for (size_t i = 0; i < cases.at("texts").size(); ++i) {
    const std::string text = cases.at("texts")[i];
    const Ids plain = tokenizer.encode(text);
    EXPECT_EQ(plain, wanted.at("plain")[i].get<Ids>()) << text;
    Ids whole = tokenizer.prefix();
    whole.insert(whole.end(), plain.begin(), plain.end());
    whole.insert(whole.end(), tokenizer.suffix().begin(), tokenizer.suffix().end());
    EXPECT_EQ(whole, wanted.at("whole")[i].get<Ids>()) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, HuggingFaceTokenizer,
                         testing::Values("gpt2", "smollm", "llama3", "spaced", "runs_of_digits",
                                         "words_alone", "few_bytes"));

TEST(HuggingFaceTokenizer, TextComesBackFromItsTokens) {
  const json cases = json::parse(golden("cases"));
  for (const char* name : {"gpt2", "smollm", "llama3"}) {
    const auto tokenizer = HuggingFace::parse(golden(name));
    ASSERT_TRUE(tokenizer);
    for (const std::string text : cases.at("texts"))
      if (text.find('{') == std::string::npos)  // a token that takes the spaces beside it
        EXPECT_EQ((*tokenizer)->decode((*tokenizer)->encode(text)).value(), text) << name;
    std::string bytes;
    for (int byte = 255; byte >= 0; --byte) bytes += static_cast<char>(byte);
    EXPECT_EQ((*tokenizer)->decode((*tokenizer)->encode(bytes)).value(), bytes) << name;
    EXPECT_EQ((*tokenizer)->decode({{(*tokenizer)->size()}}).error().code, "wrong_usage");
    EXPECT_FALSE((*tokenizer)->decode({{-1}}));
  }
}

TEST(HuggingFaceTokenizer, WhatATextBeginsWith) {
  const auto llama = HuggingFace::parse(golden("llama3")),
             smollm = HuggingFace::parse(golden("smollm"));
  (*llama)->set_beginning(5);
  EXPECT_EQ((*llama)->beginning(), 0);  // <|begin_of_text|>, which the file itself puts there
  EXPECT_EQ((*smollm)->beginning(), 0);
  EXPECT_TRUE((*smollm)->is_special(0));
  (*smollm)->set_beginning(1);
  EXPECT_EQ((*smollm)->beginning(), 1);
  EXPECT_FALSE((*smollm)->is_special((*smollm)->size() - 1));  // added, and a text
}

// The tokenizer of one file with a change made to it.
std::string error_of(const char* pointer, const json& value) {
  static const json file = json::parse(golden("smollm"));
  json changed = file;
  changed[json::json_pointer(pointer)] = value;
  const auto made = HuggingFace::parse(changed.dump());
  return made ? "read" : made.error().message;
}

TEST(HuggingFaceTokenizer, WhatIsNotReadIsNamed) {
  EXPECT_EQ(error_of("/version", "1.0"), "read");
  EXPECT_THAT(error_of("/model/type", "Unigram"), HasSubstr("type 'Unigram' is not read"));
  EXPECT_THAT(error_of("/model", 3), HasSubstr("a model of type"));
  EXPECT_THAT(error_of("/model/vocab", json::object()), HasSubstr("no vocab"));
  EXPECT_THAT(error_of("/model/vocab/A", -1), HasSubstr("no id from 0"));
  EXPECT_THAT(error_of("/model/vocab/A", 1e300), HasSubstr("no id from 0"));
  EXPECT_THAT(error_of("/model/vocab/A", 4'000'000), HasSubstr("but ids up to 4000000"));
  EXPECT_THAT(error_of("/model/merges", nullptr), HasSubstr("no list of at most"));
  EXPECT_THAT(error_of("/model/merges/7", "nothing like it"), HasSubstr("its merge 8 is not"));
  EXPECT_THAT(error_of("/model/merges/0", json::array({"a"})), HasSubstr("its merge 1 is not"));
  EXPECT_THAT(error_of("/model/dropout", 0.5), HasSubstr("dropout is not read"));
  EXPECT_THAT(error_of("/model/byte_fallback", true), HasSubstr("byte_fallback is not read"));
  EXPECT_THAT(error_of("/normalizer", {{"type", "NFC"}}), HasSubstr("normalizer 'NFC'"));
  EXPECT_THAT(error_of("/pre_tokenizer", nullptr), HasSubstr("pre_tokenizer '?' is not read"));
  EXPECT_THAT(error_of("/pre_tokenizer", {{"type", "Metaspace"}}), HasSubstr("'Metaspace' is not"));
  EXPECT_THAT(error_of("/pre_tokenizer/pretokenizers", json::array()), HasSubstr("no ByteLevel"));
  const auto split = [](const json& pattern, const char* behavior) {
    return json{{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", false}};
  };
  const char* first = "/pre_tokenizer/pretokenizers/0";
  EXPECT_EQ(error_of(first, split({{"Regex", "a+"}}, "Isolated")), "read");
  EXPECT_THAT(error_of(first, split({{"Regex", "(a"}}, "Isolated")), HasSubstr("can't be read at"));
  EXPECT_THAT(error_of(first, split({{"Regex", "a"}}, "MergedWithNext")),
              HasSubstr("MergedWithNext"));
  EXPECT_THAT(error_of(first, split("a", "Isolated")), HasSubstr("has no pattern"));
  EXPECT_THAT(error_of("/added_tokens/0/id", "x"), HasSubstr("no content or no id"));
  EXPECT_THAT(error_of("/added_tokens/0/content", ""), HasSubstr("empty or too long"));
  EXPECT_THAT(error_of("/added_tokens/0/single_word", true), HasSubstr("single_word"));
  EXPECT_THAT(error_of("/post_processor", {{"type", "BertProcessing"}}),
              HasSubstr("'BertProcessing'"));
  EXPECT_THAT(error_of("/post_processor", {{"type", "TemplateProcessing"},
                                           {"single", {{{"SpecialToken", {{"id", "<x>"}}}}}}}),
              HasSubstr("a token that was not added"));
}

TEST(HuggingFaceTokenizer, WhatIsNoFileIsRefused) {
  for (const std::string text :
       {"", "{", "[]", "3", "null", R"({"model": null})", R"({"model": {}})"})
    EXPECT_FALSE(HuggingFace::parse(text)) << text;
  EXPECT_FALSE(HuggingFace::parse(std::string(100'000, '[')));
  const std::string whole = golden("gpt2");
  for (size_t length = 0; length < whole.size(); length += whole.size() / 50)
    EXPECT_FALSE(HuggingFace::parse(whole.substr(0, length))) << length;
}

// A pattern that takes for ever ends, and the text is still all there.
TEST(HuggingFaceTokenizer, APatternThatTakesForEverEnds) {
  json file = json::parse(golden("llama3"));
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+$";
  const auto tokenizer = HuggingFace::parse(file.dump());
  ASSERT_TRUE(tokenizer);
  const std::string text = std::string(40, 'a') + "b";
  EXPECT_EQ((*tokenizer)->decode((*tokenizer)->encode(text)).value(), text);
}

}  // namespace
}  // namespace bitloop::tokenizer
