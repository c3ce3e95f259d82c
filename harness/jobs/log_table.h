// log.tsv: the curve of a run as a table, made from its step and val records.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace bitloop::jobs {

// One line a step record. A val record of the same step, before or after it, fills the line's
// evaluation columns; one without a step record makes a line of its own. A number that is missing
// (or not finite: null) is written "-".
class LogTable {
 public:
  static constexpr const char* kHeader =
      "step\tlambda\ttrain_loss\ttrain_ppl\teval_ppl\teval_bpb\tlr\ttime_s\tbest_ppl\tq_neg1\tq_"
      "zero\tq_pos1\n";

  // Takes a record of any type; returns the lines that are complete now ("" when none is).
  std::string take(const nlohmann::ordered_json& record);
  // The line still held, at the end of the run.
  std::string finish();

 private:
  std::optional<nlohmann::ordered_json> step_, val_;  // of the line that is held
  double best_ppl_ = -1;                              // below 0: nothing was evaluated yet
};

}  // namespace bitloop::jobs
