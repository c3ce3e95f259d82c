#include "harness/baselines/rows.h"

#include <gmock/gmock.h>

#include "harness/baselines/plot.h"

namespace bitloop::baselines {
namespace {

ledger::Row a_row(const std::string& session, int64_t test, double bits, double loss) {
  ledger::Row row;
  row.session = session;
  row.type = session == "baseline" || session == "local" ? session : "agent";
  row.test = test;
  row.task = "quick";
  row.quantizer = "ternary";
  row.status = "ok";
  row.bits_per_weight = bits;
  row.val_loss = loss;
  return row;
}

TEST(BestPerBits, IsTheLowestOfThoseThatEndedOk) {
  std::vector<ledger::Row> rows = {a_row("a", 1, 2, 2.5), a_row("a", 2, 1.585, 2.4),
                                   a_row("b", 1, 1.5853, 2.3), a_row("b", 2, 2, 2.2),
                                   a_row("c", 1, 1.585, 2.0)};
  rows[4].status = "rejected";
  rows.push_back(a_row("d", 1, 2, 9));
  rows.back().task = "other";
  std::string names;
  for (const ledger::Row& row : best_per_bits(rows))
    names += row.session + std::to_string(*row.test) + " ";
  EXPECT_EQ(names, "d1 b1 b2 ");
}

TEST(SummarizeRows, SeedsOfABaselineAreOnePointAndEveryOtherRowItsOwn) {
  const auto summary =
      summarize_rows({a_row("baseline", 1, 1.5, 2.5), a_row("baseline", 2, 1.5, 2.7),
                      a_row("a-b", 1, 1.5, 2.4), a_row("local", 7, 1.5, 2.9)});
  ASSERT_TRUE(summary);
  ASSERT_EQ(summary->entries.size(), 3u);
  EXPECT_EQ(summary->entries[0].name, "a-b-1");
  EXPECT_TRUE(summary->entries[0].pareto);
  EXPECT_EQ(summary->entries[1].name, "ternary");
  EXPECT_DOUBLE_EQ(summary->entries[1].val_loss->mean, 2.6);
  EXPECT_EQ(summary->entries[2].name, "ternary-7");
  EXPECT_THAT(*plot_script(*summary),
              testing::HasSubstr("set title 'bitloop, task quick: 4 result(s)'"));
}

TEST(SummarizeRows, LossesOfSeveralTasksAreNotCompared) {
  std::vector<ledger::Row> rows = {a_row("a", 1, 1.5, 2.5), a_row("a", 2, 1.5, 2.5)};
  rows[1].task = "tiny";
  EXPECT_EQ(summarize_rows(rows).error().code, "several_tasks");
  EXPECT_EQ(plot_script(*summarize_rows({})).error().code, "nothing_to_plot");
}

}  // namespace
}  // namespace bitloop::baselines
