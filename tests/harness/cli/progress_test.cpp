#include "harness/cli/progress.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/fd.h"

namespace bitloop::cli {
namespace {

TEST(ProgressText, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(progress_text({}), "step 0");
  EXPECT_EQ(
      progress_text(
          {.step = 230, .total_steps = 400, .train_loss = 2.41234, .tokens_per_s = 1026912.4}),
      "step 230/400  loss 2.4123  1,026,912 tokens/s");
  EXPECT_EQ(progress_text({.step = 230,
                           .total_steps = 400,
                           .tokens_per_s = 1000,
                           .time_s = 23,
                           .memory_mb = 611.6,
                           .peak_flops = 2e9,
                           .token_flops = 3e5,
                           .q_neg1 = 0.25,
                           .q_zero = 0.5,
                           .q_pos1 = 0.25}),
            "step 230/400  1,000 tokens/s  15% of peak  612 MB  17 s left  quant=[-1:0.25 0:0.50 "
            "+1:0.25]");
  EXPECT_EQ(progress_text({.step = 1, .memory_mb = 80'000}), "step 1  78.1 GB");
  EXPECT_EQ(progress_text({.step = 1, .tokens_per_s = 5, .peak_flops = 0, .token_flops = 1}),
            "step 1  5 tokens/s");
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

TEST(RunReader, TakesThePeakAndWhatATokenTakes) {
  RunReader reader;
  reader.update(
      "{\"type\":\"header\",\"config\":{\"model\":{\"architecture\":\"gpt2\",\"width\":128,"
      "\"layers\":4,"
      "\"padded_vocab_size\":256,\"context\":128,\"bias\":true},\"train\":{\"steps\":400,\"batch\":"
      "16,"
      "\"micro_batch\":16}}}\n"
      "{\"type\":\"machine\",\"peak_flops\":9e11}\n{\"type\":\"step\",\"step\":1,\"memory_mb\":300}"
      "\n");
  // 6 (12 L D^2 + V D) for products, 6 L T D for attention
  EXPECT_EQ(reader.numbers().token_flops,
            6.0 * (12 * 4 * 128 * 128 + 256 * 128) + 6 * 4 * 128 * 128);
  EXPECT_EQ(reader.numbers().peak_flops, 9e11);
  EXPECT_EQ(reader.numbers().memory_mb, 300);
  RunReader other;  // a header that is no preset
  other.update(
      "{\"type\":\"header\",\"config\":{\"model\":3}}\n{\"type\":\"header\",\"config\":7}\n");
  EXPECT_EQ(other.numbers().token_flops, std::nullopt);
}

const std::string kStep = "{\"type\":\"step\",\"step\":10,\"train_loss\":2.5}\n";
const std::string kWritten =
    "{\"type\":\"checkpoint\",\"step\":10,\"ok\":true,\"message\":\"written\"}\n";
const std::string kNotWritten =
    "{\"type\":\"checkpoint\",\"step\":20,\"ok\":false,\"message\":\"c-1 was not written "
    "(full\\u001b[31m "
    "disk)\"}\n";
const std::string kResumed =
    "{\"type\":\"resumed\",\"step\":10,\"notes\":[\"c-0 is damaged: its checksum is "
    "another\",7]}\n";
const std::string kNote = "the checkpoint of step 20: c-1 was not written (full [31m disk)";
const std::string kOtherNote = "c-0 is damaged: its checksum is another";

TEST(RunReader, NotesWhatWentWrongWithCheckpointsOnce) {
  RunReader reader;
  reader.update(kStep + kWritten);
  EXPECT_TRUE(reader.take_notes().empty());
  reader.update(kStep + kWritten + kNotWritten);
  EXPECT_EQ(reader.take_notes(), std::vector{kNote});
  // It goes on: the file is begun anew, and is longer at once.
  const std::string more(200, ' ');
  reader.update(kStep + kWritten + kResumed + more + kNotWritten + kStep);
  EXPECT_EQ(reader.take_notes(), std::vector{kOtherNote});
  EXPECT_TRUE(reader.take_notes().empty());
  reader.update("{\"type\":\"resumed\",\"notes\":3}\n{\"type\":\"checkpoint\",\"ok\":false}\n");
  EXPECT_EQ(reader.take_notes(),
            std::vector<std::string>{"the checkpoint of step null: it was not written"});
}

TEST(Progress, ANoteIsALine) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::tmpfile(), std::fclose);
  Progress progress(out.get(), 20);
  progress.update(kStep);
  progress.update(kStep + kNotWritten);
  progress.finish();
  std::rewind(out.get());
  char text[400] = {};
  const size_t size = std::fread(text, 1, sizeof text, out.get());
  EXPECT_EQ(std::string(text, size), "step 10/20  loss 2.5000\n" + kNote + "\n");
}

TEST(Progress, OnATerminalItStandsAboveTheBar) {
  int master = -1, terminal = -1;
  ASSERT_EQ(::openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  const UniqueFd reader(master);
  ::setenv("NO_COLOR", "1", 1);
  {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(::fdopen(terminal, "w"), std::fclose);
    Progress progress(out.get(), 20);
    progress.update(kStep);
    progress.update(kStep + kNotWritten);
    progress.finish();
    std::fflush(out.get());
    char text[1000];
    const ssize_t size = ::read(master, text, sizeof text);
    ASSERT_GT(size, 0);
    const std::string bar = "\r\x1b[K[############------------] step 10/20  loss 2.5000";
    EXPECT_EQ(std::string(text, static_cast<size_t>(size)),
              bar + "\r\x1b[K" + kNote + "\r\n" + bar + "\r\n");
  }
  ::unsetenv("NO_COLOR");
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
