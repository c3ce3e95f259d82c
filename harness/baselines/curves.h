// How val_loss fell during the runs of a plan: what a rule for ending tests early is measured on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "harness/baselines/plan.h"

namespace bitloop::baselines {

// One run that ended ok.
struct Curve {
  std::string name;  // of the candidate
  int64_t seed = 0;
  double final_loss = 0;                   // of the whole validation split
  std::map<int64_t, double> losses;        // by step: of the evaluations during training …
  std::map<int64_t, double> lambdas = {};  // … and the share of quantisation in training there
};

// The curves of the plan's runs whose events.jsonl is still there (`runs`: the folder of run
// folders), in the plan's order.
std::vector<Curve> read_curves(const Plan& plan, const std::filesystem::path& runs);

// Comments, then a line a curve: name, seed, val_loss, and the loss at each step in columns named
// at_STEP. The same curves give the same text.
std::string curves_text(const Plan& plan, const std::vector<Curve>& curves);

}  // namespace bitloop::baselines
