#include "harness/baselines/plot.h"

#include <gmock/gmock.h>

#include "tests/harness/baselines/fixture.h"

namespace bitloop::baselines {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Plot, FloatIsALineAndTheOthersPoints) {
  const auto script = plot_script(summarize(a_trained_plan({{"float", 32, {1.64, 1.64}},
                                                            {"ternary", 1.5, {1.75, 1.75}},
                                                            {"worse", 1.625, {1.875, 1.875}},
                                                            {"two", 2, {1.7, 1.7}}})));
  ASSERT_TRUE(script) << script.error().message;
  EXPECT_THAT(*script, HasSubstr("'float, 32 bits: 1.6400'"));
  EXPECT_THAT(*script, HasSubstr("$front << END\n1.5 1.75\n2 1.7\n2.6 1.7\nEND\n"));
  EXPECT_THAT(*script, HasSubstr("$best << END\n1.5 1.75 0\n2 1.7 0\nEND\n"));
  EXPECT_THAT(*script, HasSubstr("$others << END\n1.625 1.875 0\nEND\n"));
  EXPECT_THAT(*script, HasSubstr("set label 'worse'"));
}

TEST(Plot, WhoIsFarAboveStandsAtTheEdgeWithTheNumber) {
  const auto script = plot_script(summarize(a_trained_plan(
      {{"a", 1, {1.8}}, {"b", 2, {1.7}}, {"c", 3, {1.75}}, {"d", 4, {1.65}}, {"bad", 2, {5}}})));
  EXPECT_THAT(*script, HasSubstr("'bad 5.000'"));
  EXPECT_THAT(*script, Not(HasSubstr(" 5 0\n")));
}

TEST(Plot, NamesCannotLeaveTheirQuotes) {
  const auto script = plot_script(
      summarize(a_trained_plan({{"x'\nset output '/etc/passwd'; system(`id`)", 1, {1.8}}})));
  EXPECT_THAT(*script, Not(HasSubstr("/etc")));
  EXPECT_THAT(*script, Not(HasSubstr("`")));
  EXPECT_THAT(*script, HasSubstr("'x??set?output???etc?passwd???system??id?'"));
}

TEST(Plot, NothingToPlotIsSaid) {
  EXPECT_EQ(plot_script(summarize(a_trained_plan({{"a", 1, {{}}}}))).error().code,
            "nothing_to_plot");
  EXPECT_EQ(plot_script(summarize(a_trained_plan({{"float", 32, {1.6}}}))).error().code,
            "nothing_to_plot");
}

}  // namespace
}  // namespace bitloop::baselines
