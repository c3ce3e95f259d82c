#include "harness/ledger/query.h"

#include <gmock/gmock.h>

#include "tests/harness/ledger/fixture.h"

namespace bitloop::ledger {
namespace {

bool fits(const std::string& text, const Row& row = make_row("a", 1)) {
  const auto condition = parse_condition(text);
  EXPECT_TRUE(condition) << (condition ? "" : condition.error().message);
  return condition && matches(row, *condition);
}

std::string error_of(const std::string& text) {
  const auto condition = parse_condition(text);
  return condition ? "" : condition.error().code;
}

TEST(Condition, OnNumbers) {  // val_loss 2.3178
  EXPECT_TRUE(fits("val_loss<2.4"));
  EXPECT_FALSE(fits("val_loss<2.3178"));
  EXPECT_TRUE(fits("val_loss<=2.3178"));
  EXPECT_TRUE(fits(" val_loss >= 2.3178 "));
  EXPECT_TRUE(fits("val_loss=2.3178"));
  EXPECT_TRUE(fits("val_loss==2.3178"));
  EXPECT_FALSE(fits("val_loss!=2.3178"));
  EXPECT_TRUE(fits("params>800000"));
  EXPECT_TRUE(fits("bits>1e0"));
}

TEST(Condition, AMissingNumberIsNeitherLessNorGreater) {
  EXPECT_FALSE(fits("piqa<100"));
  EXPECT_FALSE(fits("piqa>=0"));
  EXPECT_TRUE(fits("piqa="));
  EXPECT_FALSE(fits("piqa!="));
  EXPECT_TRUE(fits("piqa!=3"));
  EXPECT_TRUE(fits("val_loss!="));
  EXPECT_FALSE(fits("val_loss="));
}

TEST(Condition, OnText) {
  EXPECT_TRUE(fits("status=ok"));
  EXPECT_TRUE(fits("status!=diverged"));
  EXPECT_TRUE(fits("description~MEDIAN"));
  EXPECT_FALSE(fits("description~mean"));
  EXPECT_TRUE(fits("time>2026-01"));
  EXPECT_TRUE(fits("agent="));
  EXPECT_TRUE(fits("submitted=false"));
  EXPECT_TRUE(fits("description=median scale"));
  EXPECT_FALSE(fits("description==x"));
}

TEST(Condition, OneFlagIsEnough) {
  EXPECT_TRUE(fits("flags=degraded"));
  EXPECT_TRUE(fits("flags!=limited"));
  EXPECT_FALSE(fits("flags!=leaks"));
  EXPECT_FALSE(fits("flags="));
  EXPECT_TRUE(fits("flags~leak"));
}

TEST(Condition, WhatIsNoneIsRefused) {
  for (const char* text : {"", "val_loss", "<3", "val_loss<", "val_loss<fast", "val_loss!3",
                           "val_loss<nan", "val_loss<1.5x"})
    EXPECT_EQ(error_of(text), "bad_condition") << text;
  EXPECT_EQ(error_of("loss<3"), "unknown_column");
}

TEST(NamedColumn, UnknownOnesNameTheNearest) {
  const auto column = named_column("valloss");
  ASSERT_FALSE(column);
  EXPECT_THAT(column.error().message, testing::HasSubstr("the nearest are val_loss, "));
  EXPECT_STREQ((*named_column("final"))->name, "submitted");
  EXPECT_EQ(named_columns("session, bits,")->size(), 2u);
  EXPECT_EQ(named_columns(" ,").error().code, "bad_value");
}

TEST(SortRows, MissingComesLastEitherWay) {
  std::vector<Row> rows = {make_row("a", 1), make_row("b", 2), make_row("c", 3)};
  rows[0].val_loss.reset();
  rows[2].val_loss = 2;
  const auto sessions = [&](const char* order) {
    std::string names;
    sort_rows(rows, *parse_order(order));
    for (const Row& row : rows) names += row.session;
    return names;
  };
  EXPECT_EQ(sessions("val_loss"), "cba");
  EXPECT_EQ(sessions("-val_loss"), "bca");
  EXPECT_EQ(sessions("-session"), "cba");
  EXPECT_EQ(sessions("task"), "cba");  // all alike: as they were
  EXPECT_EQ(parse_order("-nothing").error().code, "unknown_column");
}

}  // namespace
}  // namespace bitloop::ledger
