#include "harness/editor/document.h"

#include <gmock/gmock.h>

#include "tests/harness/editor/fixture.h"

namespace bitloop::editor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(Document, RegionsExcludeTheirMarkers) {
  const Document document = parse();
  EXPECT_EQ(document.line_count(), 11);
  EXPECT_THAT(document.editable(), ElementsAre(Pair(3, 5), Pair(9, 9)));
  EXPECT_EQ(document.editable_text(), "3\u20135, 9\u20139");
  EXPECT_EQ(document.regions()[1].name, "config");
  EXPECT_EQ(document.region_at(2), nullptr);
  EXPECT_EQ(document.region_at(3), &document.regions()[0]);
  EXPECT_EQ(document.region_at(6), nullptr);
  EXPECT_EQ(document.region_at(0), nullptr);
  EXPECT_EQ(document.region_at(-1), nullptr);
  EXPECT_EQ(document.region_at(1000), nullptr);
  EXPECT_EQ(document.text(), kText);
}

TEST(Document, AnEmptyRegionSaysWhereToInsert) {
  const Document document = parse("-- BEGIN EDITABLE a\n-- END EDITABLE\n");
  EXPECT_THAT(document.editable(), ElementsAre(Pair(2, 1)));
  EXPECT_EQ(document.editable_text(), "2\u20131 (empty: insert after line 1)");
  EXPECT_TRUE(document.regions()[0].empty());
}

TEST(Document, NormalisesLineEnds) {
  EXPECT_EQ(parse("a\r\nb").text(), "a\nb\n");
  EXPECT_EQ(parse("").text(), "");
  EXPECT_EQ(parse("\n").text(), "\n");
  EXPECT_EQ(parse("\n\n").line_count(), 2);
}

TEST(Document, AReadOnlyFileHasNoRegions) {
  auto document = Document::read_only(kText, "quantizers/ternary.lua");
  ASSERT_TRUE(document);
  EXPECT_TRUE(document->editable().empty());
  EXPECT_EQ(document->editable_text(), "none");
  EXPECT_TRUE(Document::read_only("-- BEGIN EDITABLE a\n", "broken.lua"));
}

TEST(Document, RefusesBrokenMarkers) {
  const std::pair<const char*, const char*> cases[] = {
      {"-- END EDITABLE\n", "candidate.lua:1: "},
      {"a\n-- BEGIN EDITABLE x\n", "candidate.lua:2: "},
      {"-- BEGIN EDITABLE x\n-- BEGIN EDITABLE y\n-- END EDITABLE\n", "candidate.lua:2: "},
      {"-- BEGIN EDITABLE\n-- END EDITABLE\n", "needs a name"},
      {"-- BEGIN EDITABLE x\n-- END EDITABLE\n-- BEGIN EDITABLE x\n-- END EDITABLE\n", "same name"},
  };
  for (const auto& [text, words] : cases) {
    auto document = Document::parse(text);
    ASSERT_FALSE(document) << text;
    EXPECT_EQ(document.error().code, "bad_markers");
    EXPECT_THAT(document.error().message, HasSubstr(words));
  }
}

TEST(Document, RecognisesMarkersWhateverTheSpaces) {
  for (const char* line : {"-- BEGIN EDITABLE x", "--BEGIN EDITABLE x", "\t--  BEGIN\tEDITABLE  x ",
                           "---- END EDITABLE", "-- END EDITABLE x", "-- BEGIN EDITABLE"})
    EXPECT_TRUE(is_marker_line(line)) << line;
  for (const char* line : {"", "--", "BEGIN EDITABLE x", "-- BEGIN", "-- BEGINEDITABLE",
                           "-- BEGIN EDITABLES x", "x = 1 -- BEGIN EDITABLE x", "-- END"})
    EXPECT_FALSE(is_marker_line(line)) << line;
}

TEST(Document, RefusesWhatIsNotText) {
  using namespace std::string_literals;
  for (const std::string& text : {"a\0b"s, "a\x1b[2J"s, "a\rb"s, "a\xff"s, "\xc2\x85"s, "\x7f"s,
                                  "\xed\xa0\x80"s, "\xc0\xaf"s}) {
    auto document = Document::parse(text);
    ASSERT_FALSE(document) << testing::PrintToString(text);
    EXPECT_EQ(document.error().code, "invalid_text");
  }
  EXPECT_TRUE(Document::parse("\tgr\u00fc\u00dfe \u2013 \U0001F600\n"));
}

TEST(Document, RefusesAFileOverOneMebibyte) {
  EXPECT_TRUE(Document::parse(std::string(kMaxFileBytes, 'a')));
  auto document = Document::parse(std::string(kMaxFileBytes + 1, 'a'));
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, "file_too_large");
}

TEST(Document, WithRegionMovesWhatFollows) {
  const Document document = parse();
  auto grown = document.with_region(0, {"1", "2", "3", "4", "5"});
  ASSERT_TRUE(grown);
  EXPECT_THAT(grown->editable(), ElementsAre(Pair(3, 7), Pair(11, 11)));
  EXPECT_EQ(grown->text(), parse(grown->text()).text());
  EXPECT_EQ(parse(grown->text()).editable(), grown->editable());
  auto emptied = grown->with_region(1, {});
  ASSERT_TRUE(emptied);
  EXPECT_THAT(emptied->editable(), ElementsAre(Pair(3, 7), Pair(11, 10)));
}

}  // namespace
}  // namespace bitloop::editor
