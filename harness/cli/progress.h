// A run's progress for people, from its records: a bar that is drawn over on a terminal, plain
// lines elsewhere. What went wrong with its checkpoints is a line of its own, above the bar.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitloop::cli {

// "1 h 44 min", "3 min", "12 s".
std::string duration_text(double seconds);

// The last known numbers of a run.
struct RunNumbers {
  int64_t step = 0;
  int64_t total_steps = 0;  // 0: not known
  std::optional<double> train_loss = {}, val_loss = {}, tokens_per_s = {};
  std::optional<double> time_s = {};       // since training began
  std::optional<double> memory_mb = {};    // the most so far
  std::optional<double> peak_flops = {};   // of a product, measured on this machine
  std::optional<double> token_flops = {};  // that training takes a token
  std::optional<double> q_neg1 = {}, q_zero = {}, q_pos1 = {};  // shares of codes
  std::string stage = {};
};

// "step 230/400  loss 2.4123  val 2.5120  26,912 tokens/s  15% of peak  612 MB  14 s left
// quant=[-1:0.31 0:0.38 +1:0.31]", in one line; unknown parts are left out.
std::string progress_text(const RunNumbers& numbers);
// "[##########----------]", `width` cells between the brackets.
std::string progress_bar(int64_t step, int64_t total_steps, int width);

// Reads a run's events.jsonl as it grows.
class RunReader {
 public:
  explicit RunReader(int64_t total_steps = 0) { numbers_.total_steps = total_steps; }

  // Takes the whole of events.jsonl as it is now; only what is new is read. A last line without its
  // newline waits. Returns whether there was a new line.
  bool update(std::string_view events);
  const RunNumbers& numbers() const { return numbers_; }
  // What people should hear of the new lines, a sentence each, and each once: checkpoints that were
  // not written, and those that a run could not go on from.
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

 private:
  void take_record(std::string_view line);
  void note(std::string sentence);

  size_t read_ = 0;        // bytes of events.jsonl taken so far
  std::string last_line_;  // of them
  RunNumbers numbers_;
  std::vector<std::string> notes_;
  std::set<std::string> noted_;
};

class Progress {
 public:
  // `total_steps` 0: taken from the run's header when it is there.
  Progress(std::FILE* out, int64_t total_steps);

  // As RunReader::update.
  void update(std::string_view events);
  // Leaves the bar's line, so that what is printed next starts on its own.
  void finish();

  const RunNumbers& numbers() const { return reader_.numbers(); }

 private:
  void say(const std::vector<std::string>& notes);
  void draw();

  std::FILE* out_;
  bool terminal_;
  bool color_;
  bool drawn_ = false;
  int64_t printed_step_ = -1;
  RunReader reader_;
};

}  // namespace bitloop::cli
