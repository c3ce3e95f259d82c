#include "harness/cli/plan_progress.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/harness/baselines/fixture.h"

namespace bitloop::cli {
namespace {

TEST(PlanProgress, DurationsAreShort) {
  EXPECT_EQ(duration_text(12.4), "12 s");
  EXPECT_EQ(duration_text(180), "3 min");
  EXPECT_EQ(duration_text(6240), "1 h 44 min");
  EXPECT_EQ(duration_text(-1), "0 s");
}

TEST(PlanProgress, WithoutATerminalALineAFinishedRun) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::tmpfile(), std::fclose);
  baselines::Plan plan =
      baselines::a_trained_plan({{"ternary", 1.585, {1.78}}, {"bad", 1, {std::nullopt}}});
  PlanProgress progress(out.get(), plan, "/nowhere");
  progress.poll({&plan.runs[0]});
  progress.ended(plan.runs[0]);
  progress.ended(plan.runs[1]);
  progress.finish();
  std::rewind(out.get());
  char text[400] = {};
  const size_t size = std::fread(text, 1, sizeof text, out.get());
  EXPECT_EQ(std::string(text, size),
            "2/2  ternary  seed 42  ok  val_loss 1.7800  1.585 bits  11 s\n"
            "2/2  bad  seed 42  diverged  12 s\n");
}

}  // namespace
}  // namespace bitloop::cli
