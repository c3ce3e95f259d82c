// Two candidates trained on the same seeds: which is better in (val_loss, bits per weight), and is
// the difference more than noise?
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/baselines/documents.h"
#include "harness/baselines/outcome.h"
#include "harness/baselines/summary.h"

namespace bitloop::baselines {

struct Verdict {
  Outcome outcome = Outcome::kUndecided;
  std::optional<PairedDifference> val_loss;     // b - a
  ledger::Number bits;                          // b - a
  std::vector<BenchmarkDifference> benchmarks;  // set by who has the runs' folders; may be empty
  std::string sentence;                         // the answer, for people
};

Verdict compare(const Entry& a, const Entry& b);

// {task, steps, seeds, a: {…}, b: {…}, difference: {…}, benchmarks: […], verdict, message}; missing
// numbers are null.
nlohmann::ordered_json verdict_json(const Summary& summary, const Entry& a, const Entry& b,
                                    const Verdict& verdict);
// The same for a terminal; ends with the sentence.
std::string verdict_for_people(const Entry& a, const Entry& b, const Verdict& verdict);

}  // namespace bitloop::baselines
