#include "harness/jobs/log_table.h"

#include <gtest/gtest.h>

#include <cmath>

#include "harness/base/text.h"

namespace bitloop::jobs {
namespace {

using Json = nlohmann::ordered_json;

Json step(int number) {
  return {{"type", "step"},     {"step", number}, {"lambda", 0.5}, {"train_loss", 2.5},
          {"train_ppl", 12.25}, {"lr", 0.001},    {"time_s", 1.5}, {"q_neg1", 0.25},
          {"q_zero", 0.5},      {"q_pos1", 0.25}};
}
Json val(int number, Json loss) {
  return {{"type", "val"},
          {"step", number},
          {"lambda", 1},
          {"val_loss", std::move(loss)},
          {"val_bpb", 3.5}};
}

TEST(LogTableTest, AStepAndItsEvaluationAreOneLine) {
  LogTable table;
  EXPECT_EQ(table.take(step(10)), "");
  EXPECT_EQ(table.take(val(10, 0.0)), "");
  EXPECT_EQ(table.take(step(20)), "10\t0.5\t2.5\t12.25\t1\t3.5\t0.001\t1.5\t1\t0.25\t0.5\t0.25\n");
  EXPECT_EQ(table.finish(), "20\t0.5\t2.5\t12.25\t-\t-\t0.001\t1.5\t1\t0.25\t0.5\t0.25\n");
  EXPECT_EQ(table.finish(), "");
}

TEST(LogTableTest, EveryLineHasTheHeadersColumns) {
  LogTable table;
  table.take(val(5, 1.0));
  const std::string line = table.finish();
  EXPECT_EQ(split(line, '\t').size(), split(LogTable::kHeader, '\t').size());
  EXPECT_TRUE(line.starts_with("5\t1\t-\t-\t2.718281828459045\t3.5\t-\t-\t2.718281828459045\t-"))
      << line;
}

TEST(LogTableTest, TheBestPerplexityIsKept) {
  LogTable table;
  table.take(val(1, 2.0));
  table.take(val(2, 1.0));
  table.take(val(3, 3.0));
  EXPECT_EQ(split(table.finish(), '\t')[8], format_number(std::exp(1.0)));
}

TEST(LogTableTest, WhatIsNoNumberIsADash) {
  LogTable table;
  Json record = step(1);
  record["train_loss"] = nullptr;
  record["q_zero"] = "many\tcells";
  table.take(record);
  table.take(val(1, nullptr));
  EXPECT_EQ(table.finish(), "1\t0.5\t-\t12.25\t-\t3.5\t0.001\t1.5\t-\t0.25\t-\t0.25\n");
}

TEST(LogTableTest, OtherRecordsDontCount) {
  LogTable table;
  EXPECT_EQ(table.take({{"type", "finding"}}), "");
  EXPECT_EQ(table.take({{"type", 1}}), "");
  EXPECT_EQ(table.take(Json::object()), "");
  EXPECT_EQ(table.finish(), "");
}

}  // namespace
}  // namespace bitloop::jobs
