#include "harness/evaluation/published.h"

#include <gmock/gmock.h>

namespace bitloop::evaluation {
namespace {

using testing::HasSubstr;

// "arc_easy.jsonl", or "" for what is none, or why it is not used.
std::string use(const std::filesystem::path& path) {
  const auto place = place_of(path);
  if (!place) return "";
  return place->why_not.empty() ? std::string(place->use.file) : place->why_not;
}

TEST(Published, AFileIsKnownByItsHashWhateverItsName) {
  const auto found =
      use_of("x.txt", "61533005e22f175534909b1ec8eacb6da03c233933558d1bafb15787453b1f55");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->file, "piqa.jsonl");
  EXPECT_TRUE(found->known);
}

TEST(Published, AFileIsNamedByItsNameAlone) {
  EXPECT_EQ(use_of("piqa/ARC-Easy_test.jsonl", "")->file, "arc_easy.jsonl");
  EXPECT_FALSE(use_of("ARC-Easy_test.jsonl", "")->known);
  EXPECT_EQ(use_of("wiki.test.raw", "")->form, Form::kPages);
  EXPECT_FALSE(use_of("piqa/valid.jsonl", ""));
}

TEST(Published, DataSetsAsTheyLieOnHuggingFace) {
  EXPECT_EQ(use("ai2_arc/ARC-Easy/test-00000-of-00001.parquet"), "arc_easy.jsonl");
  EXPECT_EQ(use("ai2_arc/ARC-Challenge/test-00000-of-00001.parquet"), "arc_challenge.jsonl");
  EXPECT_EQ(use("hellaswag/data/validation-00000-of-00001.parquet"), "hellaswag.jsonl");
  EXPECT_EQ(use("piqa/plain_text/validation-00000-of-00001.parquet"), "piqa.jsonl");
  EXPECT_EQ(use("winogrande/winogrande_xl/validation-00000-of-00001.parquet"), "winogrande.jsonl");
  EXPECT_EQ(use("lambada_openai/default/test-00000-of-00001.parquet"), "lambada.jsonl");
  EXPECT_EQ(use("wikitext/wikitext-2-raw-v1/test-00000-of-00001.parquet"), "wikitext2.jsonl");
  EXPECT_EQ(use("wikitext/wikitext-2-raw-v1/validation-00000-of-00001.parquet"), "wikitext2.jsonl");
}

TEST(Published, DataSetsAsTheyAreConvertedAndCached) {
  EXPECT_EQ(use("piqa/plain_text/validation/0000.parquet"), "piqa.jsonl");
  EXPECT_EQ(use("datasets--Rowan--hellaswag/snapshots/0a1b/data/validation-00000-of-00001.parquet"),
            "hellaswag.jsonl");
  EXPECT_EQ(use("downloads/piqa_validation.parquet"), "piqa.jsonl");
  EXPECT_EQ(use("ARC-Easy/test-00000-of-00001.parquet"), "arc_easy.jsonl");
}

TEST(Published, OnlyTheSplitThatIsAskedIsTaken) {
  for (const char* path : {"piqa/train-00000-of-00001.parquet", "piqa/train/0000.parquet",
                           "piqa/partial-train/0000.parquet", "hellaswag/data/test-0-of-1.parquet",
                           "ARC-Easy/validation-00000-of-00001.parquet",
                           "wikitext-2-raw-v1/train-00000-of-00001.parquet"})
    EXPECT_THAT(use(path), HasSubstr(" split, and ")) << path;
  EXPECT_EQ(use("piqa/train-00000-of-00001.parquet"),
            "the train split, and piqa.jsonl is made of the validation split");
  EXPECT_EQ(use("piqa/0000.parquet"),
            "its name says no split, and piqa.jsonl is made of the validation split");
  EXPECT_LT(place_of("wikitext-2-raw-v1/test/0000.parquet")->use.rank,
            place_of("wikitext-2-raw-v1/validation/0000.parquet")->use.rank);
}

TEST(Published, WhatIsNoBenchmarkOfOurs) {
  EXPECT_EQ(use("wikitext/wikitext-103-raw-v1/test-00000-of-00001.parquet"), "");
  EXPECT_EQ(use("wikitext/wikitext-2-v1/test-00000-of-00001.parquet"), "");
  EXPECT_EQ(use("gsm8k/main/test-00000-of-00001.parquet"), "");
  EXPECT_EQ(use(""), "");
  EXPECT_EQ(use("lambada_openai/de/test-00000-of-00001.parquet"),
            "a translation; lambada is asked in English");
  EXPECT_EQ(use("lambada_openai/en/test/0000.parquet"), "lambada.jsonl");
}

TEST(Published, TheNearestFolderDecides) {
  EXPECT_EQ(use("piqa-and-hellaswag/hellaswag/data/validation-00000-of-00001.parquet"),
            "hellaswag.jsonl");
  EXPECT_EQ(use("test/piqa/validation-00000-of-00001.parquet"), "piqa.jsonl");
}

TEST(Published, PartsOfAFile) {
  const auto second = place_of("piqa/validation-00001-of-00003.parquet").value();
  EXPECT_EQ(second.part, 1);
  EXPECT_EQ(second.parts, 3);
  EXPECT_EQ(second.series, place_of("piqa/validation-00002-of-00003.parquet")->series);
  EXPECT_NE(second.series, place_of("piqa/validation-00001-of-00004.parquet")->series);
  EXPECT_NE(second.series, place_of("piqa/b/validation-00001-of-00003.parquet")->series);
  EXPECT_NE(second.series, place_of("piqa/test-00001-of-00003.parquet")->series);
  const auto converted = place_of("piqa/validation/0002.parquet").value();
  EXPECT_EQ(converted.part, 2);
  EXPECT_EQ(converted.parts, 0);
  EXPECT_EQ(converted.series, place_of("piqa/validation/0000.parquet")->series);
  // No parts: the name as it is.
  for (const char* name :
       {"validation.parquet", "validation-of-2.parquet", "validation-x-of-2.parquet",
        "validation-2-of-2.parquet", "validation-1-of-9999999999.parquet"}) {
    const auto place = place_of(std::filesystem::path("piqa") / name).value();
    EXPECT_EQ(place.part, 0) << name;
    EXPECT_EQ(place.parts, 1) << name;
  }
}

}  // namespace
}  // namespace bitloop::evaluation
