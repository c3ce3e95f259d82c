#include "harness/cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "harness/base/text.h"
#include "harness/cli/terminal.h"
#include "harness/tasks/estimate.h"

namespace bitloop::cli {
namespace {

using nlohmann::json;

constexpr int kBarWidth = 24;
constexpr size_t kMostNoteBytes = 1000;
constexpr int kPlainLines = 10;  // about so many lines a run where there is no terminal

void take_number(const json& record, const char* name, std::optional<double>& into) {
  const auto found = record.find(name);
  if (found != record.end() && found->is_number()) into = found->get<double>();
}

std::string text_of(const json& record, const char* name, const char* otherwise) {
  const auto found = record.find(name);
  return found != record.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

std::string with_thousands(double value) {
  const std::string digits = fmt::format("{:.0f}", value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string memory_text(double mb) {
  return mb < 10'000 ? fmt::format("{:.0f} MB", mb) : fmt::format("{:.1f} GB", mb / 1024);
}

// What training takes a token, by the preset in the header, where that is known.
std::optional<double> token_flops_of_header(const json& record) {
  const json config = record.value("config", json());
  if (!config.is_object()) return std::nullopt;
  try {
    return tasks::estimate(config, {}).flops_per_token;
  } catch (const json::exception&) {  // not a preset
    return std::nullopt;
  }
}

// header.config.train.steps, where the trainer writes its configuration like that.
int64_t steps_of_header(const json& record) {
  const json steps = record.value(json::json_pointer("/config/train/steps"), json(0));
  return steps.is_number_integer() ? steps.get<int64_t>() : 0;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 100) return fmt::format("{} s", whole);
  const int64_t minutes = (whole + 30) / 60;
  if (minutes < 60) return fmt::format("{} min", minutes);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

std::string progress_text(const RunNumbers& numbers) {
  std::vector<std::string> parts;
  parts.push_back(numbers.total_steps > 0
                      ? fmt::format("step {}/{}", numbers.step, numbers.total_steps)
                      : fmt::format("step {}", numbers.step));
  if (numbers.train_loss) parts.push_back(fmt::format("loss {:.4f}", *numbers.train_loss));
  if (numbers.val_loss) parts.push_back(fmt::format("val {:.4f}", *numbers.val_loss));
  if (numbers.tokens_per_s) parts.push_back(with_thousands(*numbers.tokens_per_s) + " tokens/s");
  if (numbers.tokens_per_s && numbers.token_flops && numbers.peak_flops.value_or(0) > 0)
    parts.push_back(fmt::format("{:.0f}% of peak", *numbers.tokens_per_s * *numbers.token_flops /
                                                       *numbers.peak_flops * 100));
  if (numbers.memory_mb) parts.push_back(memory_text(*numbers.memory_mb));
  if (numbers.time_s && numbers.step > 0 && numbers.step < numbers.total_steps)
    parts.push_back(
        duration_text(*numbers.time_s * static_cast<double>(numbers.total_steps - numbers.step) /
                      static_cast<double>(numbers.step)) +
        " left");
  if (numbers.q_neg1 && numbers.q_zero && numbers.q_pos1)
    parts.push_back(fmt::format("quant=[-1:{:.2f} 0:{:.2f} +1:{:.2f}]", *numbers.q_neg1,
                                *numbers.q_zero, *numbers.q_pos1));
  return join(parts, "  ");
}

std::string progress_bar(int64_t step, int64_t total_steps, int width) {
  const int64_t filled =
      total_steps > 0 ? std::clamp<int64_t>(step * width / total_steps, 0, width) : 0;
  return fmt::format("[{:#<{}}{:-<{}}]", "", filled, "", width - filled);
}

Progress::Progress(std::FILE* out, int64_t total_steps)
    : out_(out), terminal_(is_terminal(out)), color_(has_color(out)), reader_(total_steps) {}

void Progress::update(std::string_view events) {
  if (!reader_.update(events)) return;
  say(reader_.take_notes());
  draw();
}

bool RunReader::update(std::string_view events) {
  bool changed = false;
  // A run that went on from a checkpoint began it anew: it is shorter, or other lines are there.
  if (!events.substr(0, read_).ends_with(last_line_) || events.size() < read_) read_ = 0;
  while (read_ < events.size()) {
    const size_t end = events.find('\n', read_);
    if (end == std::string_view::npos) break;
    last_line_ = events.substr(read_, end + 1 - read_);
    take_record(events.substr(read_, end - read_));
    read_ = end + 1;
    changed = true;
  }
  return changed;
}

void RunReader::take_record(std::string_view line) {
  const json record = json::parse(line, nullptr, false);
  if (!record.is_object() || !record.contains("type") || !record["type"].is_string()) return;
  const std::string type = record["type"];
  if (type == "header" && numbers_.total_steps == 0) numbers_.total_steps = steps_of_header(record);
  if (type == "header") numbers_.token_flops = token_flops_of_header(record);
  if (type == "machine") take_number(record, "peak_flops", numbers_.peak_flops);
  if (type == "stage" && record.contains("name") && record["name"].is_string())
    numbers_.stage = record["name"];
  if (type == "val") take_number(record, "val_loss", numbers_.val_loss);
  if (type == "checkpoint" && record.value("ok", json()) == false)
    note(fmt::format("the checkpoint of step {}: {}", record.value("step", json()).dump(),
                     text_of(record, "message", "it was not written")));
  if (type == "resumed" && record.value("notes", json()).is_array())
    for (const json& sentence : record["notes"])
      if (sentence.is_string()) note(sentence.get<std::string>());
  if (type != "step") return;
  if (const auto step = record.find("step"); step != record.end() && step->is_number_integer())
    numbers_.step = step->get<int64_t>();
  take_number(record, "train_loss", numbers_.train_loss);
  take_number(record, "tokens_per_s", numbers_.tokens_per_s);
  take_number(record, "time_s", numbers_.time_s);
  take_number(record, "memory_mb", numbers_.memory_mb);
  take_number(record, "q_neg1", numbers_.q_neg1);
  take_number(record, "q_zero", numbers_.q_zero);
  take_number(record, "q_pos1", numbers_.q_pos1);
}

// Records are told again when a run goes on; and their text is the trainer's.
void RunReader::note(std::string sentence) {
  constexpr size_t kMostNotes = 1000;
  sentence = single_line(sentence.substr(0, kMostNoteBytes));
  if (noted_.size() < kMostNotes && noted_.insert(sentence).second)
    notes_.push_back(std::move(sentence));
}

void Progress::say(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) fmt::print(out_, "{}{}\n", drawn_ ? "\r\x1b[K" : "", note);
  if (notes.empty()) return;
  drawn_ = false;  // the bar's line has been written over
  std::fflush(out_);
}

void Progress::draw() {
  const RunNumbers& numbers = reader_.numbers();
  const std::string text = progress_text(numbers);
  if (terminal_) {
    const std::string bar = progress_bar(numbers.step, numbers.total_steps, kBarWidth);
    fmt::print(out_, "\r\x1b[K{}{}{} {}", color_ ? "\x1b[32m" : "", bar, color_ ? "\x1b[0m" : "",
               text);
    std::fflush(out_);
    drawn_ = true;
    return;
  }
  const int64_t interval = std::max<int64_t>(1, numbers.total_steps / kPlainLines);
  const bool last = numbers.step == numbers.total_steps;
  if (numbers.step == 0 || numbers.step == printed_step_) return;
  if (!last && printed_step_ >= 0 && numbers.step < printed_step_ + interval) return;
  printed_step_ = numbers.step;
  fmt::print(out_, "{}\n", text);
  std::fflush(out_);
}

void Progress::finish() {
  if (drawn_) fmt::print(out_, "\n");
  drawn_ = false;
}

}  // namespace bitloop::cli
