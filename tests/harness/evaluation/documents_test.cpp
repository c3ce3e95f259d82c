#include "harness/evaluation/documents.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace bitloop::evaluation {
namespace {

constexpr const char* kRaw =
    " \n = One = \n \n Text . \n = = Part = = \n More . \n \n = Two = \n \n End .\n";

TEST(Documents, LinesAreWholeObjects) {
  const auto taken = take_lines("f", "{\"a\": 1}\n\n{\"b\":2}\r\n").value();
  EXPECT_EQ(taken.count, 2);
  EXPECT_EQ(taken.text, "{\"a\": 1}\n{\"b\":2}\r\n");
  EXPECT_EQ(take_lines("f", "{}\n[1]\n").error().message,
            "f, line 2: it is no JSON object, or cut short");
  EXPECT_EQ(take_lines("f", "{\"a\":").error().code, "bad_benchmark");
}

TEST(Documents, PagesBeginWithHeadingsOfTheFirstLevel) {
  const auto taken = take_pages(kRaw).value();
  EXPECT_EQ(taken.count, 2);
  EXPECT_EQ(taken.text,
            "{\"page\":\" \\n = One = \\n \\n Text . \\n = = Part = = \\n More . \\n \\n\"}\n"
            "{\"page\":\" = Two = \\n \\n End .\\n\"}\n");
}

// Rows of a data set: a line each, with its end or without, and "" for one of spaces alone.
TEST(Documents, RowsOfLinesAreTheTextThatTheyWereMadeOf) {
  for (const char* end : {"\n", ""}) {
    std::string rows;
    std::string_view rest = kRaw;
    while (!rest.empty()) {
      const size_t length = rest.find('\n');
      std::string line(rest.substr(0, length));
      line = line == " " ? "" : line + end;
      rows += nlohmann::json{{"text", line}}.dump() + "\n";
      rest.remove_prefix(length + 1);
    }
    EXPECT_EQ(take_rows("f", rows)->text, take_pages(kRaw)->text);
  }
}

TEST(Documents, RowsOfPagesAreDocumentsAlready) {
  const std::string rows = "{\"page\":\"one\"}\n{\"page\":\"two\"}\n";
  const auto taken = take_rows("f", rows).value();
  EXPECT_EQ(taken.text, rows);
  EXPECT_EQ(taken.count, 2);
}

TEST(Documents, RowsOfSomethingElseAreNamed) {
  const char* said = "f, line 2: there is neither a text nor a page";
  EXPECT_EQ(take_rows("f", "{\"text\":\"a\"}\n{\"goal\":\"a\"}\n").error().message, said);
  EXPECT_EQ(take_rows("f", "{\"text\":\"a\"}\n{\"text\":1}\n").error().message, said);
  EXPECT_EQ(take_rows("f", "{\"text\":\"a\"}\n{\"te").error().message,
            "f, line 2: it is no JSON object, or cut short");
}

}  // namespace
}  // namespace bitloop::evaluation
