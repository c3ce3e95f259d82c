// draw_plot with gnuplot itself, and where it is missing.
#include <gmock/gmock.h>

#include <cstdlib>

#include "harness/base/fd.h"
#include "harness/baselines/plot.h"
#include "tests/harness/baselines/fixture.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::baselines {
namespace {

using testing::HasSubstr;

class Gnuplot : public ::testing::Test {
 protected:
  void TearDown() override { ::setenv("PATH", path_.c_str(), 1); }
  void program_is(const std::string& script) {
    ASSERT_TRUE(write_file_atomic(folder_ / "gnuplot", "#!/bin/sh\n" + script + "\n"));
    std::filesystem::permissions(folder_ / "gnuplot", std::filesystem::perms::owner_all);
    ::setenv("PATH", folder_.path().c_str(), 1);
  }
  const Summary summary_ =
      summarize(a_trained_plan({{"float", 32, {1.64, 1.65}}, {"ternary", 1.5, {1.75, 1.76}}}));
  test_support::ScratchFolder folder_;
  std::string path_ = std::getenv("PATH");
};

TEST_F(Gnuplot, DrawsAnSvgFile) {
  const auto drawn = draw_plot(summary_, folder_ / "plot.svg");
  ASSERT_TRUE(drawn) << drawn.error().message;
  const std::string svg = read_file(folder_ / "plot.svg").value();
  EXPECT_THAT(svg, HasSubstr("<svg"));
  EXPECT_THAT(svg, HasSubstr(">ternary<"));
  EXPECT_THAT(svg, HasSubstr(">float, 32 bits: 1.6450<"));
  EXPECT_THAT(svg, HasSubstr("bits per weight"));
}

TEST_F(Gnuplot, MissingIsOneSentenceAndLeavesTheOldPlot) {
  ASSERT_TRUE(write_file_atomic(folder_ / "plot.svg", "old"));
  ::setenv("PATH", "/nowhere", 1);
  const auto drawn = draw_plot(summary_, folder_ / "plot.svg");
  EXPECT_EQ(drawn.error().code, "gnuplot_missing");
  EXPECT_THAT(drawn.error().message, HasSubstr("gnuplot-nox"));
  EXPECT_EQ(read_file(folder_ / "plot.svg").value(), "old");
}

TEST_F(Gnuplot, FailingIsSaidInItsOwnWords) {
  program_is("echo 'line 0: no such terminal' >&2; exit 1");
  const auto drawn = draw_plot(summary_, folder_ / "plot.svg");
  EXPECT_EQ(drawn.error().code, "gnuplot_failed");
  EXPECT_THAT(drawn.error().message, HasSubstr("no such terminal"));
  program_is("exit 0");
  EXPECT_EQ(draw_plot(summary_, folder_ / "plot.svg").error().code, "gnuplot_failed");
}

}  // namespace
}  // namespace bitloop::baselines
