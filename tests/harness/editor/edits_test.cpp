#include "harness/editor/edits.h"

#include <gmock/gmock.h>

#include "harness/editor/view.h"
#include "tests/harness/editor/fixture.h"

namespace bitloop::editor {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kOnly = "You may only edit lines 3\u20135, 9\u20139.";

void expect_error(const Result<Edit>& edit, std::string_view code, std::string_view words = "") {
  ASSERT_FALSE(edit);
  EXPECT_EQ(edit.error().code, code);
  EXPECT_THAT(edit.error().message, StartsWith("ERROR: "));
  EXPECT_THAT(edit.error().message, HasSubstr(std::string(words)));
}

// Lines joined by '|', markers as '[' and ']'.
std::string brief(const Document& document) {
  std::string text;
  for (const std::string& line : document.lines())
    text += (line.starts_with("-- BEGIN") ? "[" : line.starts_with("-- END") ? "]" : line) + "|";
  return text;
}

TEST(Replace, AnswersInTheWordsOfTheContract) {
  const Document document = design_document();
  auto edit = replace(document, 14, 26, "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
  ASSERT_TRUE(edit);
  EXPECT_EQ(edit->message,
            "OK: Replaced lines 14..26 with 9 line(s) in candidate.lua. Editable range: "
            "14\u201322, 28\u201334.");
  EXPECT_EQ(edit->region, "quantizer");
  EXPECT_EQ(edit->view, view_region(edit->document, 0));
  auto refused = replace(document, 32, 45, "x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "edit_out_of_range");
  EXPECT_EQ(refused.error().message,
            "ERROR: Lines 32..45 exceed the editable range. You may only edit lines 14\u201326, "
            "32\u201338.");
}

TEST(Replace, LinesWithinARegion) {
  EXPECT_EQ(brief(replace(parse(), 4, 4, "B\nB2")->document),
            "-- top|[|a|B|B2|c|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(replace(parse(), 9, 9, "y")->document),
            "-- top|[|a|b|c|]|middle|[|y|]|return Q|");
}

TEST(Replace, EmptyContentDeletesAndTheRegionCanBeFilledAgain) {
  auto emptied = replace(parse(), 3, 5, "");
  ASSERT_TRUE(emptied);
  EXPECT_EQ(brief(emptied->document), "-- top|[|]|middle|[|x|]|return Q|");
  EXPECT_EQ(emptied->message,
            "OK: Replaced lines 3..5 with 0 line(s) in candidate.lua. Editable range: "
            "3\u20132 (empty: insert after line 2), 6\u20136.");
  EXPECT_EQ(brief(insert(emptied->document, 2, "n")->document),
            "-- top|[|n|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(replace(emptied->document, 3, 2, "n")->document),
            "-- top|[|n|]|middle|[|x|]|return Q|");
  expect_error(replace(emptied->document, 3, 3, "n"), "edit_out_of_range");
}

TEST(Replace, OneTrailingNewlineIsIgnored) {
  EXPECT_EQ(brief(replace(parse(), 3, 5, "n\n")->document),
            brief(replace(parse(), 3, 5, "n")->document));
  EXPECT_EQ(brief(replace(parse(), 3, 5, "n\n\n")->document),
            "-- top|[|n||]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(replace(parse(), 3, 5, "\n")->document), "-- top|[||]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(replace(parse(), 3, 5, "n\r\nm\r\n")->document),
            "-- top|[|n|m|]|middle|[|x|]|return Q|");
}

TEST(Replace, RefusesLinesOutsideAndAcrossRegions) {
  const std::pair<int64_t, int64_t> cases[] = {
      {1, 1}, {2, 3},  {2, 2}, {3, 6},  {5, 6},         {6, 6},     {3, 9},
      {7, 7}, {9, 10}, {0, 0}, {-4, 3}, {9, INT64_MAX}, {100, 200}, {INT64_MIN, INT64_MAX},
      {1, 11}};
  for (const auto& [first, last] : cases)
    expect_error(replace(parse(), first, last, "n"), "edit_out_of_range", kOnly);
}

TEST(Replace, RefusesAReversedRange) {
  expect_error(replace(parse(), 5, 3, "n"), "invalid_range", "Lines 5..3");
  expect_error(replace(parse(), 4, 3, "n"), "invalid_range");
  expect_error(replace(parse(), INT64_MAX, INT64_MIN, "n"), "invalid_range");
}

TEST(Insert, AnswersInTheWordsOfTheContract) {
  auto edit = insert(
      *Document::parse(
          replace(design_document(), 14, 26, "1\n2\n3\n4\n5\n6\n7\n8\n9\n")->document.text()),
      15, "a\nb");
  ASSERT_TRUE(edit);
  EXPECT_EQ(edit->message,
            "OK: Inserted 2 line(s) after line 15 in candidate.lua. Editable range: "
            "14\u201324, 30\u201336.");
}

TEST(Insert, AfterBeginAndAfterEveryLineOfARegion) {
  EXPECT_EQ(brief(insert(parse(), 2, "n")->document), "-- top|[|n|a|b|c|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(insert(parse(), 3, "n")->document), "-- top|[|a|n|b|c|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(insert(parse(), 5, "n")->document), "-- top|[|a|b|c|n|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(insert(parse(), 8, "n")->document), "-- top|[|a|b|c|]|middle|[|n|x|]|return Q|");
}

TEST(Insert, RefusesOtherLinesAndNothing) {
  for (const int64_t line : {int64_t{0}, int64_t{1}, int64_t{6}, int64_t{7}, int64_t{10},
                             int64_t{11}, int64_t{12}, INT64_MAX, INT64_MIN})
    expect_error(insert(parse(), line, "n"), "edit_out_of_range", kOnly);
  expect_error(insert(parse(), 3, ""), "empty_content");
  EXPECT_TRUE(insert(parse(), 3, "\n"));
}

TEST(Rewrite, ReplacesARegionByName) {
  auto edit = rewrite(parse(), "quantizer", "n\n");
  ASSERT_TRUE(edit);
  EXPECT_EQ(brief(edit->document), "-- top|[|n|]|middle|[|x|]|return Q|");
  EXPECT_EQ(edit->message,
            "OK: Replaced lines 3..5 with 1 line(s) in candidate.lua. Editable range: 3\u20133, "
            "7\u20137.");
  expect_error(rewrite(parse(), "quant", "n"), "unknown_region", "quantizer, config");
  expect_error(rewrite(parse(), "a\nb\x1b", "n"), "unknown_region");
  expect_error(rewrite(parse("a\n"), "x", "n"), "unknown_region", "none");
}

TEST(StrReplace, TheOnePlaceWhereverItIs) {
  auto edit = str_replace(parse(), "b", "B\nB2");
  ASSERT_TRUE(edit);
  EXPECT_EQ(brief(edit->document), "-- top|[|a|B|B2|c|]|middle|[|x|]|return Q|");
  EXPECT_EQ(edit->message,
            "OK: Replaced lines 4..4 with 2 line(s) in candidate.lua. Editable range: 3\u20136, "
            "10\u201310.");
  EXPECT_EQ(str_replace(parse(), "x", "y")->region, "config");
}

TEST(StrReplace, IsLiteralAboutNewlines) {
  EXPECT_EQ(brief(str_replace(parse(), "b\n", "")->document),
            "-- top|[|a|c|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(str_replace(parse(), "b", "")->document),
            "-- top|[|a||c|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(str_replace(parse(), "a\r\nb", "n")->document),
            "-- top|[|n|c|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(str_replace(parse(), "c\n", "d")->document),
            "-- top|[|a|b|d|]|middle|[|x|]|return Q|");
  EXPECT_EQ(brief(str_replace(parse(), "a\nb\nc\n", "")->document),
            "-- top|[|]|middle|[|x|]|return Q|");
  auto joined = str_replace(parse(), "a\n", "n");
  EXPECT_EQ(brief(joined->document), "-- top|[|nb|c|]|middle|[|x|]|return Q|");
  EXPECT_THAT(joined->message, HasSubstr("Replaced lines 3..4 with 1 line(s)"));
  EXPECT_THAT(str_replace(parse(), "\nb\n", "")->message,
              HasSubstr("Replaced lines 3..5 with 1 line(s)"));
}

TEST(StrReplace, RefusesWhatDoesNotOccurExactlyOnce) {
  expect_error(str_replace(parse(), "zzz", "n"), "text_not_found", "occurs 0 times");
  const Document twice =
      parse("-- BEGIN EDITABLE a\nv v\n-- END EDITABLE\n-- BEGIN EDITABLE b\nv\n-- END EDITABLE\n");
  expect_error(str_replace(twice, "v", "n"), "text_not_unique", "occurs 3 times");
  const Document overlap = parse("-- BEGIN EDITABLE a\naaa\n-- END EDITABLE\n");
  expect_error(str_replace(overlap, "aa", "n"), "text_not_unique", "occurs 2 times");
  expect_error(str_replace(parse(), "", "n"), "empty_content");
}

TEST(StrReplace, ProtectedTextAndTextAcrossABorderAreOutOfRange) {
  expect_error(str_replace(parse(), "middle", "n"), "edit_out_of_range",
               "Lines 7..7 exceed the editable range. ");
  expect_error(str_replace(parse(), "c\n-- END", "n"), "edit_out_of_range",
               "Lines 5..6 exceed the editable range. ");
  // The same text once in a region and once outside: the region's is meant.
  EXPECT_EQ(
      brief(str_replace(parse("v\n-- BEGIN EDITABLE a\nv\n-- END EDITABLE\n"), "v", "n")->document),
      "v|[|n|]|");
}

TEST(Edits, RefuseMarkersHoweverTheyGetIn) {
  for (const char* content :
       {"-- END EDITABLE", "n\n  --BEGIN EDITABLE x\nm", "-- END EDITABLE\n-- BEGIN EDITABLE x"}) {
    expect_error(replace(parse(), 3, 3, content), "marker_in_content");
    expect_error(insert(parse(), 3, content), "marker_in_content");
    expect_error(rewrite(parse(), "config", content), "marker_in_content");
    expect_error(str_replace(parse(), "b", content), "marker_in_content");
  }
  // Put together from two harmless halves.
  const Document half = parse("-- BEGIN EDITABLE a\n-- END\n EDITABLE\n-- END EDITABLE\n");
  expect_error(str_replace(half, "END\n", "END"), "marker_in_content");
}

TEST(Edits, RefuseWhatIsNotTextAndWhatIsTooLarge) {
  using namespace std::string_literals;
  for (const std::string& content : {"a\0"s, "\x1b[31m"s, "\xff"s, "a\rb"s}) {
    expect_error(replace(parse(), 3, 3, content), "invalid_text", "content");
    expect_error(insert(parse(), 3, content), "invalid_text");
    expect_error(rewrite(parse(), "config", content), "invalid_text");
    expect_error(str_replace(parse(), "b", content), "invalid_text", "new_str");
    expect_error(str_replace(parse(), content, "b"), "invalid_text", "old_str");
  }
  EXPECT_TRUE(replace(parse(), 3, 3, std::string(kMaxContentBytes, 'n')));
  expect_error(replace(parse(), 3, 3, std::string(kMaxContentBytes + 1, 'n')), "content_too_large");
  Document grown = parse();
  for (int i = 0; i < 3; ++i)
    grown = insert(grown, 3, std::string(kMaxContentBytes, 'n'))->document;
  expect_error(insert(grown, 3, std::string(kMaxContentBytes, 'n')), "file_too_large");
}

TEST(Edits, AFileWithoutRegionsCannotBeEdited) {
  const Document document = parse("a\n");
  expect_error(replace(document, 1, 1, "n"), "edit_out_of_range", "may not be edited");
  expect_error(insert(document, 1, "n"), "edit_out_of_range");
  expect_error(str_replace(document, "a", "n"), "edit_out_of_range");
  expect_error(replace(parse(""), 1, 1, "n"), "edit_out_of_range");
}

TEST(Sentences, ForUndoAndRevert) {
  EXPECT_EQ(undo_message(parse(), 2),
            "OK: Undid 2 edit(s) in candidate.lua. Editable range: 3\u20135, 9\u20139.");
  EXPECT_EQ(revert_message(parse(), "test #1"),
            "OK: Reverted candidate.lua to test #1. Editable range: 3\u20135, 9\u20139.");
}

}  // namespace
}  // namespace bitloop::editor
