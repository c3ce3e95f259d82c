#include "harness/cli/noise.h"

#include <gtest/gtest.h>

namespace bitloop::cli {
namespace {

tasks::BaselineTable a_table() {
  tasks::BaselineTable table;
  table.baselines = {{"ternary", 1.585, 1.78, 0.003, 3}};
  table.noise_floor = tasks::NoiseFloor{0.003, 20};  // half width 0.0072 (SciPy)
  return table;
}

TEST(Noise, IsInsideOrBeyond) {
  EXPECT_EQ(noise_line(a_table(), 1.775),
            "val_loss is 0.0050 below ternary's 1.7800 (3 seeds): inside the noise of ±0.0072.");
  EXPECT_EQ(noise_line(a_table(), 1.79),
            "val_loss is 0.0100 above ternary's 1.7800 (3 seeds): beyond the noise of ±0.0072.");
}

TEST(Noise, WithoutNumbersNothingIsSaid) {
  tasks::BaselineTable table = a_table();
  table.baselines[0].name = "other";
  EXPECT_EQ(noise_line(table, 1.7), "");
  table = a_table();
  table.baselines[0].val_loss.reset();
  EXPECT_EQ(noise_line(table, 1.7), "");
  EXPECT_EQ(noise_line({}, 1.7), "");
  EXPECT_EQ(noise_of_task("quick", {}), "");
}

TEST(Noise, OfATask) {  // 2.085963 * 0.002 * sqrt(2)
  tasks::BaselineTable table = a_table();
  table.noise_floor->sd = 0.002;
  EXPECT_EQ(noise_of_task("quick", table),
            "Noise of quick: two single runs that differ by less than 0.0059 in val_loss cannot be "
            "told apart.");
}

}  // namespace
}  // namespace bitloop::cli
