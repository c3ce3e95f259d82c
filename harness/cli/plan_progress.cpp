#include "harness/cli/plan_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::cli {

std::string ended_text(const baselines::Plan& plan, const baselines::PlannedRun& run) {
  const ledger::Row& row = run.done->row;
  std::vector<std::string> parts = {plan.candidates[run.candidate].name,
                                    fmt::format("seed {}", run.seed), run.done->status};
  if (row.val_loss) parts.push_back(fmt::format("val_loss {:.4f}", *row.val_loss));
  if (row.bits_per_weight) parts.push_back(fmt::format("{:.3f} bits", *row.bits_per_weight));
  if (row.train_s) parts.push_back(fmt::format("{:.0f} s", *row.train_s));
  return join(parts, "  ");
}

PlanProgress::PlanProgress(std::FILE* out, const baselines::Plan& plan,
                           std::filesystem::path runs_dir)
    : out_(out),
      plan_(plan),
      runs_dir_(std::move(runs_dir)),
      terminal_(::isatty(::fileno(out)) == 1) {}

std::string PlanProgress::count() const {
  return fmt::format("{}/{}", plan_.runs.size() - plan_.left(), plan_.runs.size());
}

std::string PlanProgress::left(double begun) const {
  const double done = static_cast<double>(ended_here_) + begun;
  if (done <= 0) return "";
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  const double runs = static_cast<double>(plan_.left()) - begun;
  return fmt::format("about {} left", duration_text(elapsed.count() / done * std::max(0.0, runs)));
}

void PlanProgress::poll(const std::vector<const baselines::PlannedRun*>& under_way) {
  if (!terminal_) return;
  std::vector<std::string> parts;
  double begun = 0;
  for (const baselines::PlannedRun* run : under_way) {
    RunReader& reader = readers_[run->test];
    const std::string folder = fmt::format("{}-{}", run->session, run->test);
    reader.update(read_file(runs_dir_ / folder / "events.jsonl").value_or(""));
    const RunNumbers& numbers = reader.numbers();
    std::string text = fmt::format("{} seed {}", plan_.candidates[run->candidate].name, run->seed);
    if (numbers.total_steps > 0) {
      const double share =
          static_cast<double>(numbers.step) / static_cast<double>(numbers.total_steps);
      begun += share;
      text += fmt::format(" {:.0f}%", 100 * share);
    }
    if (numbers.train_loss) text += fmt::format(" loss {:.4f}", *numbers.train_loss);
    parts.push_back(std::move(text));
  }
  fmt::print(out_, "\r\x1b[K{}  {}  {}", count(), join(parts, ", "), left(begun));
  std::fflush(out_);
  drawn_ = true;
}

void PlanProgress::ended(const baselines::PlannedRun& run) {
  ++ended_here_;
  readers_.erase(run.test);
  clear();
  const std::string time = plan_.left() > 0 ? fmt::format("  ({})", left(0)) : "";
  fmt::print(out_, "{}  {}{}\n", count(), ended_text(plan_, run), time);
  std::fflush(out_);
}

void PlanProgress::clear() {
  if (drawn_) fmt::print(out_, "\r\x1b[K");
  drawn_ = false;
}

void PlanProgress::finish() {
  clear();
  std::fflush(out_);
}

}  // namespace bitloop::cli
