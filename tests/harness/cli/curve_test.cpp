#include "harness/cli/curve.h"

#include <gmock/gmock.h>

namespace bitloop::cli {
namespace {

using testing::ElementsAre;

TEST(Sparkline, GoesFromTheSmallestToTheLargest) {
  EXPECT_EQ(sparkline({8, 1, 4.5, 8}, 10), "█▁▅█");
  EXPECT_EQ(sparkline({3, 3}, 10), "▁▁");
  EXPECT_EQ(sparkline({}, 10), "");
}

TEST(Sparkline, ManyValuesShareAMark) { EXPECT_EQ(sparkline({1, 3, 9, 9, 1, 1}, 3), "▂█▁"); }

TEST(Curve, LeavesOutWhatIsMissingOrCutShort) {
  const Curve curve = read_curve("step\ttrain_loss\teval\n1\t2.5\t-\n2\t2.25\t3\n9\t1\n3\t2.");
  EXPECT_THAT(curve.values("train_loss"), ElementsAre(2.5, 2.25));
  EXPECT_THAT(curve.values("eval"), ElementsAre(3));
  EXPECT_TRUE(curve.values("nothing").empty());
  EXPECT_EQ(last_lines(curve, 1), "  step  train_loss  eval\n     2        2.25     3\n");
  EXPECT_EQ(last_lines(read_curve("a\n0.123456789\n"), 5), "         a\n  0.123457\n");
  EXPECT_TRUE(read_curve("").lines.empty());
}

}  // namespace
}  // namespace bitloop::cli
