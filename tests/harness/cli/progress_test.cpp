#include "harness/cli/progress.h"

#include <gtest/gtest.h>

#include <memory>

namespace bitloop::cli {
namespace {

TEST(ProgressText, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(progress_text({}), "step 0");
  EXPECT_EQ(
      progress_text(
          {.step = 230, .total_steps = 400, .train_loss = 2.41234, .tokens_per_s = 1026912.4}),
      "step 230/400  loss 2.4123  1,026,912 tokens/s");
  EXPECT_EQ(progress_text({.step = 100, .total_steps = 400, .time_s = 20}),
            "step 100/400  60 s left");
  EXPECT_EQ(progress_text({.step = 400, .total_steps = 400, .time_s = 20}), "step 400/400");
  EXPECT_EQ(progress_text({.step = 1, .q_neg1 = 0.25, .q_zero = 0.5, .q_pos1 = 0.25}),
            "step 1  quant=[-1:0.25 0:0.50 +1:0.25]");
}

TEST(ProgressBar, FillsFromLeftToRight) {
  EXPECT_EQ(progress_bar(0, 10, 4), "[----]");
  EXPECT_EQ(progress_bar(5, 10, 4), "[##--]");
  EXPECT_EQ(progress_bar(10, 10, 4), "[####]");
  EXPECT_EQ(progress_bar(99, 10, 4), "[####]");
  EXPECT_EQ(progress_bar(3, 0, 4), "[----]");
}

TEST(Progress, ReadsOnlyWholeLinesAndEachOnce) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::tmpfile(), std::fclose);
  Progress progress(out.get(), 0);
  std::string events =
      "{\"type\":\"header\",\"config\":{\"train\":{\"steps\":20}}}\n{\"type\":\"step\",\"step\":5,";
  progress.update(events);
  EXPECT_EQ(progress.numbers().total_steps, 20);
  EXPECT_EQ(progress.numbers().step, 0);
  events += "\"train_loss\":2.5}\nnot json\n{\"type\":\"val\",\"val_loss\":\"text\"}\n";
  progress.update(events);
  progress.update(events);
  EXPECT_EQ(progress.numbers().step, 5);
  EXPECT_EQ(progress.numbers().val_loss, std::nullopt);
  std::rewind(out.get());
  char text[200] = {};
  const size_t size = std::fread(text, 1, sizeof text, out.get());
  EXPECT_EQ(std::string(text, size), "step 5/20  loss 2.5000\n");
}

}  // namespace
}  // namespace bitloop::cli
