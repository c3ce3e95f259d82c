#include "harness/editor/view.h"

#include <gmock/gmock.h>

#include "harness/editor/edits.h"
#include "tests/harness/editor/fixture.h"

namespace bitloop::editor {
namespace {

TEST(View, HeaderAndLinesAsInTheContract) {
  const Document document = design_document();
  EXPECT_EQ(view_header(document),
            "[Current file: candidate.lua | editable: 14\u201326, 32\u201338 | total: 76 lines]");
  EXPECT_EQ(view(document, 13, 14).value(),
            "[Current file: candidate.lua | editable: 14\u201326, 32\u201338 | total: 76 lines]\n"
            "    13| -- BEGIN EDITABLE quantizer\n"
            "    14  local Q = {\n");
}

TEST(View, WholeFileByDefault) {
  EXPECT_EQ(view(parse("-- BEGIN EDITABLE a\n\n-- END EDITABLE\n")).value(),
            "[Current file: candidate.lua | editable: 2\u20132 | total: 3 lines]\n"
            "     1| -- BEGIN EDITABLE a\n"
            "     2  \n"
            "     3| -- END EDITABLE\n");
}

TEST(View, RegionWithThreeLinesAroundIt) {
  EXPECT_EQ(view_region(parse(), 0),
            "[Current file: candidate.lua | editable: 3\u20135, 9\u20139 | total: 11 lines]\n"
            "     1| -- top\n     2| -- BEGIN EDITABLE quantizer\n     3  a\n     4  b\n     5  c\n"
            "     6| -- END EDITABLE\n     7| middle\n     8| -- BEGIN EDITABLE config\n");
  EXPECT_EQ(view_region(parse(), 1),
            "[Current file: candidate.lua | editable: 3\u20135, 9\u20139 | total: 11 lines]\n"
            "     6| -- END EDITABLE\n     7| middle\n     8| -- BEGIN EDITABLE config\n"
            "     9  x\n    10| -- END EDITABLE\n    11| return Q\n");
}

TEST(View, RegionThatIsEmpty) {
  EXPECT_EQ(view_region(parse("1\n2\n3\n-- BEGIN EDITABLE a\n-- END EDITABLE\n6\n7\n8\n"), 0),
            "[Current file: candidate.lua | editable: 5\u20134 (empty: insert after line 4) | "
            "total: 8 lines]\n"
            "     2| 2\n     3| 3\n     4| -- BEGIN EDITABLE a\n     5| -- END EDITABLE\n"
            "     6| 6\n     7| 7\n");
}

TEST(View, AReadOnlyFileIsProtectedThroughout) {
  EXPECT_EQ(view(*Document::read_only("# Lua\n", "lua.md")).value(),
            "[Current file: lua.md | editable: none | total: 1 lines]\n     1| # Lua\n");
}

TEST(View, CutsARangeToTheFile) {
  EXPECT_EQ(view(parse(), 11, 99).value(), view(parse(), 11, 11).value());
  EXPECT_TRUE(view(parse("")));
}

TEST(View, RefusesWhatIsNotARange) {
  const std::pair<int64_t, int64_t> cases[] = {{0, 3}, {-5, 3}, {5, 4}, {12, 13}, {1, INT64_MIN}};
  for (const auto& [first, last] : cases) {
    auto shown = view(parse(), first, last);
    ASSERT_FALSE(shown) << first << ".." << last;
    EXPECT_EQ(shown.error().code, "invalid_range");
  }
}

}  // namespace
}  // namespace bitloop::editor
