// What runs under seeds that the agent did not know say about a submission: was its score luck?
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/baselines/statistics.h"
#include "harness/ledger/row.h"

namespace bitloop::baselines {

// Written into the rows of verifying runs as their description: the test that they verify.
std::string verification_mark(const std::string& session, int64_t test);

struct Verification {
  size_t runs = 0;                 // that have ended, of whatever status
  std::optional<Spread> val_loss;  // of those that ended ok
  size_t failed() const { return runs - (val_loss ? val_loss->count : 0); }
};

// Of a row's test, from all rows of its ledger; nothing where it was not verified.
std::optional<Verification> verification_of(const ledger::Row& row,
                                            const std::vector<ledger::Row>& all);

enum class Standing {
  kHolds,      // the hidden seeds do no worse than the score says, or by no more than the noise
  kLucky,      // they do worse, by more
  kUndecided,  // no score, or nothing is known of the noise
  kFailed,     // a run under a hidden seed did not end ok
};
const char* name_of(Standing standing);

// `score`: what was submitted. The noise of one run beside the mean of the hidden ones is that of
// the task's `floor`, or without one that of the hidden seeds themselves.
struct Judgement {
  Standing standing = Standing::kUndecided;
  std::optional<double> difference;  // mean of the hidden seeds minus the score
  std::optional<double> noise;
};
Judgement judge(const Verification& verification, std::optional<double> score,
                const std::optional<PooledSpread>& floor);

// {runs, failed, val_loss, val_loss_sd}, null where there is none.
nlohmann::ordered_json to_json(const std::optional<Verification>& verification);
// "1.8290 ±0.0031 (3)", "1.8290 (1)", "failed"; "" for none.
std::string short_text(const std::optional<Verification>& verification);
std::string short_text(const nlohmann::ordered_json& verification);  // of what to_json() gave

}  // namespace bitloop::baselines
