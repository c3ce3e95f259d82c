// Random edits: whatever they are, the protected lines and the markers stay, and the document reads
// back as itself.
#include <gtest/gtest.h>

#include <random>

#include "harness/editor/edits.h"
#include "tests/harness/editor/fixture.h"

namespace bitloop::editor {
namespace {

std::vector<std::string> protected_lines(const Document& document) {
  std::vector<std::string> lines;
  for (int64_t line = 1; line <= document.line_count(); ++line)
    if (!document.region_at(line)) lines.push_back(document.lines()[static_cast<size_t>(line) - 1]);
  return lines;
}

TEST(EditorFuzz, ProtectedLinesNeverChange) {
  std::mt19937 random(1);
  auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  const std::vector<std::string> pieces = {
      "a",      "b\n",       "\n",  "",     "-- END EDITABLE", "-- BEGIN EDITABLE q\n",
      "-- END", " EDITABLE", "x y", "\r\n", "middle",          "return Q",
      "\x01"};
  auto content = [&] {
    std::string text;
    for (int i = pick(0, 4); i > 0; --i)
      text += pieces[static_cast<size_t>(pick(0, static_cast<int>(pieces.size()) - 1))];
    return text;
  };
  Document document = parse();
  const auto fixed = protected_lines(document);
  int done = 0;
  for (int i = 0; i < 20000; ++i) {
    const int64_t total = document.line_count();
    auto line = [&] { return pick(-1, static_cast<int>(total) + 2); };
    Result<Edit> edit = fail("none", "");
    switch (pick(0, 3)) {
      case 0:
        edit = replace(document, line(), line(), content());
        break;
      case 1:
        edit = insert(document, line(), content());
        break;
      case 2:
        edit = rewrite(document, pick(0, 1) ? "quantizer" : "config", content());
        break;
      default:
        edit = str_replace(document, content(), content());
    }
    if (!edit) continue;
    ++done;
    document = edit->document;
    ASSERT_EQ(protected_lines(document), fixed);
    auto again = Document::parse(document.text());
    ASSERT_TRUE(again);
    ASSERT_EQ(again->lines(), document.lines());
    ASSERT_EQ(again->editable(), document.editable());
  }
  EXPECT_GT(done, 1000);
}

}  // namespace
}  // namespace bitloop::editor
