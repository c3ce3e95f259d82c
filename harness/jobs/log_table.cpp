#include "harness/jobs/log_table.h"

#include <cmath>

#include "harness/base/text.h"

namespace bitloop::jobs {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kMissing = "-";

std::string cell(double value) {
  const std::string text = format_number(value);
  return text.empty() ? kMissing : text;
}

// The number `name` of a record that may be absent, as a cell.
std::string cell(const std::optional<Json>& record, const char* name) {
  if (!record || !record->contains(name) || !record->at(name).is_number()) return kMissing;
  return cell(record->at(name).get<double>());
}

bool same_step(const Json& a, const Json& b) {
  return a.value("step", Json()) == b.value("step", Json());
}

}  // namespace

std::string LogTable::take(const Json& record) {
  const std::string type =
      record.value("type", Json()).is_string() ? record["type"].get<std::string>() : "";
  const bool is_step = type == "step";
  if (!is_step && type != "val") return "";
  const std::optional<Json>& other = is_step ? val_ : step_;
  std::optional<Json>& slot = is_step ? step_ : val_;
  std::string done;
  if (slot || (other && !same_step(*other, record))) done = finish();
  slot = record;
  return done;
}

std::string LogTable::finish() {
  if (!step_ && !val_) return "";
  const std::optional<Json>& first = step_ ? step_ : val_;
  std::string eval_ppl = kMissing;
  if (val_ && val_->contains("val_loss") && val_->at("val_loss").is_number()) {
    const double ppl = std::exp(val_->at("val_loss").get<double>());
    eval_ppl = cell(ppl);
    if (std::isfinite(ppl) && (best_ppl_ < 0 || ppl < best_ppl_)) best_ppl_ = ppl;
  }
  const std::string line =
      join({cell(first, "step"), cell(first, "lambda"), cell(step_, "train_loss"),
            cell(step_, "train_ppl"), eval_ppl, cell(val_, "val_bpb"), cell(step_, "lr"),
            cell(step_, "time_s"), best_ppl_ < 0 ? kMissing : cell(best_ppl_),
            cell(step_, "q_neg1"), cell(step_, "q_zero"), cell(step_, "q_pos1")},
           "\t") +
      "\n";
  step_.reset();
  val_.reset();
  return line;
}

}  // namespace bitloop::jobs
