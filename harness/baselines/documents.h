// What two candidates answered to the same benchmarks, document by document. Both met the same
// documents, so the differences are paired: their spread is that of the disagreements alone, and
// far fewer documents give the same certainty as two separate means.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/baselines/plan.h"
#include "harness/baselines/statistics.h"

namespace bitloop::baselines {

// Of one task, one number a document (of a perplexity: a block).
struct Answers {
  bool choices = false;  // 1 where the likeliest choice is the right one, else 0; else nats a token
  std::vector<double> values;
};

// A run's documents.jsonl by task; empty where there is none. Lines that do not read are left out:
// a run that was killed may have a torn one.
std::map<std::string, Answers> read_answers(const std::filesystem::path& run_dir);

// b - a over the documents of one task, each document's numbers averaged over the seeds that both
// have.
struct BenchmarkDifference {
  std::string task;
  bool choices = false;  // shares of right answers; else nats a token
  size_t seeds = 0;
  double a = 0, b = 0;  // means over documents
  PairedDifference difference;
  // Of b - a as if each had met documents of its own: what pairing saves.
  std::optional<double> unpaired_error;
};

// Candidates 0 and 1 of the plan, in the order of the tasks' names; tasks that both answered.
std::vector<BenchmarkDifference> compare_benchmarks(const Plan& plan,
                                                    const std::filesystem::path& workspace);

}  // namespace bitloop::baselines
