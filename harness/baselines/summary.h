// What the runs of a plan say about each candidate: spread over seeds, distance from the
// references, and who is Pareto-optimal in (val_loss, bits per weight).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/baselines/outcome.h"
#include "harness/baselines/plan.h"
#include "harness/baselines/statistics.h"
#include "harness/ledger/row.h"

namespace bitloop::baselines {

// The ledger's columns of benchmarks.
constexpr const char* kBenchmarks[] = {"wikitext2_ppl", "lambada_ppl", "arc_easy",
                                       "hellaswag",     "piqa",        "winogrande"};
constexpr double kFloatBits = 32;  // a method of so many bits quantises no weights

struct SeedResult {
  int64_t seed = 0;
  std::string status;  // "" while there is none
  ledger::Number val_loss;
};

struct Entry {
  std::string name;
  std::string doc;
  ledger::Number bits_per_weight, packed_bits_per_weight;
  std::vector<SeedResult> seeds;   // in the plan's order
  std::optional<Spread> val_loss;  // over the seeds that ended ok
  // Paired by seed, this minus the reference; absent for the reference itself.
  std::optional<PairedDifference> to_ternary, to_float;
  // No other has a lower mean at no more bits. Only for candidates that ended ok under all seeds:
  // who fails under one is not compared by the others.
  bool pareto = false;
  ledger::Number train_s, tokens_per_s;  // medians
  ledger::Number peak_memory_mb;         // the largest
  ledger::Integer params, tokens;
  std::map<std::string, double> benchmarks;  // means over the seeds that have them, by column
  std::vector<std::string> flags, versions, devices, precisions;  // each once, sorted
  std::string time;                                               // of the newest run

  size_t count(const std::string& status) const;
  // "ok:3" or "diverged:1,ok:2"; runs that have not ended are not counted.
  std::string statuses() const;
  bool quantised() const { return bits_per_weight && *bits_per_weight < kFloatBits; }
};

struct Summary {
  std::string task;
  std::vector<int64_t> seeds;
  int64_t steps = 0;
  std::string title;                        // of the plot; "": task, steps and seeds
  std::vector<Entry> entries;               // by bits, then mean val_loss; those without at the end
  std::optional<PooledSpread> noise_floor;  // of the quantised entries and float alike

  const Entry* find(const std::string& name) const;  // nullptr when there is none
};

// Marks who is Pareto-optimal among the entries and brings them into their order.
void rank(std::vector<Entry>& entries);

// Runs that have not ended count as missing.
Summary summarize(const Plan& plan);

}  // namespace bitloop::baselines
