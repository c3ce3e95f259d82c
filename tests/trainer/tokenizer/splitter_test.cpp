#include "trainer/tokenizer/splitter.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bitloop::tokenizer {
namespace {

std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> all;
  for (size_t begin = 0; begin < text.size();) {
    const size_t length = piece_length(text, begin);
    EXPECT_GT(length, 0u);
    if (length == 0) break;
    all.emplace_back(text.substr(begin, length));
    begin += length;
  }
  return all;
}

using Pieces = std::vector<std::string>;

TEST(Splitter, LettersNumbersAndTheRestAreApart) {
  EXPECT_EQ(pieces("Hello world"), (Pieces{"Hello", " world"}));
  EXPECT_EQ(pieces("a1b2 34!?  "), (Pieces{"a", "1", "b", "2", " 34", "!?", "  "}));
  EXPECT_EQ(pieces("x-y"), (Pieces{"x", "-", "y"}));
  EXPECT_EQ(pieces("naïve Ωmega ٣٤ ½ 東京!"),
            (Pieces{"naïve", " Ωmega", " ٣٤", " ½", " 東京", "!"}));
  EXPECT_EQ(pieces(""), Pieces{});
}

TEST(Splitter, ContractionsAreLowerCaseOnly) {
  EXPECT_EQ(pieces("it's I'll we've you're he'd I'm can't"),
            (Pieces{"it", "'s", " I", "'ll", " we", "'ve", " you", "'re", " he", "'d", " I", "'m",
                    " can", "'t"}));
  EXPECT_EQ(pieces("IT'S"), (Pieces{"IT", "'", "S"}));
  EXPECT_EQ(pieces("x'rx"), (Pieces{"x", "'", "rx"}));
  EXPECT_EQ(pieces("'sx"), (Pieces{"'s", "x"}));
  EXPECT_EQ(pieces(" 's"), (Pieces{" '", "s"}));
  EXPECT_EQ(pieces("'"), (Pieces{"'"}));
}

TEST(Splitter, TheLastOfSeveralSpacesGoesWithTheNextWord) {
  EXPECT_EQ(pieces("a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(pieces("a\n\nb"), (Pieces{"a", "\n", "\n", "b"}));
  EXPECT_EQ(pieces("a\n b"), (Pieces{"a", "\n", " b"}));
  EXPECT_EQ(pieces("a \n"), (Pieces{"a", " \n"}));
  EXPECT_EQ(pieces("\t\tx"), (Pieces{"\t", "\t", "x"}));
  EXPECT_EQ(pieces("a\u00a0b\u3000\u3000c"), (Pieces{"a", "\u00a0", "b", "\u3000", "\u3000", "c"}));
  EXPECT_EQ(pieces("\u200bx"), (Pieces{"\u200b", "x"}));  // no space: a format character
}

TEST(Splitter, BytesThatAreNoTextAreCharactersOfTheRest) {
  EXPECT_EQ(pieces("a\xff\xfe b"), (Pieces{"a", "\xff\xfe", " b"}));
  EXPECT_EQ(pieces("\xc3"), (Pieces{"\xc3"}));                        // cut short
  EXPECT_EQ(pieces("\xc0\xaf!"), (Pieces{"\xc0\xaf!"}));              // overlong
  EXPECT_EQ(pieces("x\xed\xa0\x80"), (Pieces{"x", "\xed\xa0\x80"}));  // half of a surrogate pair
  EXPECT_EQ(pieces("\xf4\x90\x80\x80y"), (Pieces{"\xf4\x90\x80\x80", "y"}));  // beyond Unicode
}

TEST(Splitter, KnowsWhatMayBeTheBeginningOfACharacter) {
  EXPECT_EQ(unfinished_character("abc"), 0u);
  EXPECT_EQ(unfinished_character("ab\xc3"), 1u);
  EXPECT_EQ(unfinished_character("ab\xe2\x82"), 2u);
  EXPECT_EQ(unfinished_character("ab\xf0\x9f\x98"), 3u);
  EXPECT_EQ(unfinished_character("ab\xc3\xa9"), 0u);
  EXPECT_EQ(unfinished_character("\x80\x80\x80\x80"), 0u);
  EXPECT_EQ(unfinished_character(""), 0u);
}

}  // namespace
}  // namespace bitloop::tokenizer
