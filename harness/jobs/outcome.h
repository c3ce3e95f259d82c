// From how the jail ended and what the trainer reported to the status of a run, and the document
// verdict.json.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "sandbox/verdict.h"

namespace bitloop::jobs {

// What one jail brought.
struct Outcome {
  std::string status;                            // as in design section 5
  std::string message;                           // one sentence
  std::optional<nlohmann::ordered_json> result;  // the trainer's result record
  sandbox::Verdict jail;
  bool degraded = false;
};

// What the records said.
struct Reported {
  std::optional<nlohmann::ordered_json> result;
  bool candidate_loaded = false;
  std::string violation;  // why the event stream was refused; empty: it was not
  // What a trainer that had read no candidate wrote last on its standard error: what it could not
  // do. Once a candidate is loaded these are its words as well, and stay in output.txt.
  std::string last_words = {};
};

// Sets status and message from the jail's verdict and the records. `limits`: for the sentences.
struct LimitsText {
  int64_t deadline_s = 0;
  uint64_t memory_mb = 0;
  uint64_t output_mb = 0;
};
Outcome judge(sandbox::Verdict jail, Reported reported, const LimitsText& limits);

// An outcome without a run: nothing was started.
Outcome not_run(std::string message, std::vector<sandbox::LayerState> layers);

// A train run that ended ok, and its repetition: the first losses and the final val_loss must be
// the same bits. Adds the finding "determinism" to the result; a difference makes the outcome
// "rejected" and is named in the message.
void compare_with_repetition(Outcome& outcome, const Outcome& repetition);

// The document of verdict.json.
nlohmann::ordered_json verdict_document(const Outcome& outcome);

}  // namespace bitloop::jobs
