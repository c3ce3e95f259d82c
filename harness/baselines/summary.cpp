#include "harness/baselines/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "harness/base/text.h"

namespace bitloop::baselines {
namespace {

// Of an even number of values the lower one in the middle: a value that was measured.
ledger::Number median(std::vector<double> values) {
  if (values.empty()) return {};
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

std::vector<std::string> sorted(const std::set<std::string>& values) {
  return {values.begin(), values.end()};
}

Entry entry_of(const Plan& plan, size_t candidate) {
  Entry entry;
  entry.name = plan.candidates[candidate].name;
  std::vector<double> losses, train_s, tokens_per_s;
  std::map<std::string, std::vector<double>> benchmarks;
  std::set<std::string> flags, versions, devices, precisions;
  const auto note = [](std::set<std::string>& into, const std::string& text) {
    if (!text.empty()) into.insert(text);
  };
  for (const PlannedRun& run : plan.runs) {
    if (run.candidate != candidate) continue;
    SeedResult result{run.seed, "", {}};
    if (run.done) {
      const ledger::Row& row = run.done->row;
      result.status = run.done->status;
      result.val_loss = row.val_loss;
      if (row.val_loss) losses.push_back(*row.val_loss);
      if (row.bits_per_weight) entry.bits_per_weight = row.bits_per_weight;
      if (row.packed_bits_per_weight) entry.packed_bits_per_weight = row.packed_bits_per_weight;
      if (row.train_s) train_s.push_back(*row.train_s);
      if (row.tokens_per_s) tokens_per_s.push_back(*row.tokens_per_s);
      if (row.peak_memory_mb)
        entry.peak_memory_mb = std::max(entry.peak_memory_mb.value_or(0), *row.peak_memory_mb);
      for (const char* name : kBenchmarks)
        if (const auto& value =
                row.*std::get<ledger::Number ledger::Row::*>(ledger::find_column(name)->field))
          benchmarks[name].push_back(*value);
      if (row.params) entry.params = row.params;
      if (row.tokens) entry.tokens = row.tokens;
      if (!row.description.empty()) entry.doc = row.description;
      for (const std::string& flag : row.flags) note(flags, flag);
      note(versions, row.version);
      note(devices, row.device);
      note(precisions, row.precision);
      entry.time = std::max(entry.time, row.time);
    }
    entry.seeds.push_back(std::move(result));
  }
  entry.val_loss = spread_of(losses);
  for (const auto& [name, values] : benchmarks) entry.benchmarks[name] = spread_of(values)->mean;
  entry.train_s = median(std::move(train_s));
  entry.tokens_per_s = median(std::move(tokens_per_s));
  entry.flags = sorted(flags);
  entry.versions = sorted(versions);
  entry.devices = sorted(devices);
  entry.precisions = sorted(precisions);
  return entry;
}

std::optional<PairedDifference> difference(const Entry* reference, const Entry& entry) {
  if (reference == nullptr || reference == &entry) return {};
  std::vector<double> a, b;
  for (size_t i = 0; i < entry.seeds.size(); ++i)
    if (reference->seeds[i].val_loss && entry.seeds[i].val_loss) {
      a.push_back(*reference->seeds[i].val_loss);
      b.push_back(*entry.seeds[i].val_loss);
    }
  return paired_difference(a, b);
}

bool is_comparable(const Entry& entry) {
  return entry.val_loss && entry.bits_per_weight && entry.count("ok") == entry.seeds.size();
}

bool dominates(const Entry& a, const Entry& b) {
  const double bits = *b.bits_per_weight - *a.bits_per_weight;  // what a saves
  if (bits <= -kSameBits || a.val_loss->mean > b.val_loss->mean) return false;
  return bits >= kSameBits || a.val_loss->mean < b.val_loss->mean;
}

auto order(const Entry& entry) {
  constexpr double kLast = std::numeric_limits<double>::infinity();
  return std::tuple(entry.val_loss ? 0 : 1, entry.bits_per_weight.value_or(kLast),
                    entry.val_loss ? entry.val_loss->mean : kLast, entry.name);
}

}  // namespace

size_t Entry::count(const std::string& status) const {
  return static_cast<size_t>(std::ranges::count(seeds, status, &SeedResult::status));
}

std::string Entry::statuses() const {
  std::map<std::string, int> counts;
  for (const SeedResult& seed : seeds)
    if (!seed.status.empty()) ++counts[seed.status];
  std::vector<std::string> parts;
  for (const auto& [status, times] : counts) parts.push_back(fmt::format("{}:{}", status, times));
  return join(parts, ",");
}

const Entry* Summary::find(const std::string& name) const {
  const auto found = std::ranges::find(entries, name, &Entry::name);
  return found == entries.end() ? nullptr : &*found;
}

void rank(std::vector<Entry>& entries) {
  for (Entry& entry : entries)
    entry.pareto = is_comparable(entry) && std::ranges::none_of(entries, [&](const Entry& other) {
                     return is_comparable(other) && dominates(other, entry);
                   });
  std::ranges::sort(entries, {}, order);
}

Summary summarize(const Plan& plan) {
  Summary summary;
  summary.task = plan.task.name;
  summary.seeds = plan.seeds;
  summary.steps = plan.preset.at("train").at("steps").get<int64_t>();
  for (size_t i = 0; i < plan.candidates.size(); ++i) summary.entries.push_back(entry_of(plan, i));
  std::vector<Spread> spreads;
  for (const Entry& entry : summary.entries)
    if (entry.val_loss) spreads.push_back(*entry.val_loss);
  summary.noise_floor = pooled_spread(spreads);
  const Entry* ternary = summary.find(kTernary);
  const Entry* floating = summary.find(kFloat);
  for (Entry& entry : summary.entries) {
    entry.to_ternary = difference(ternary, entry);
    entry.to_float = difference(floating, entry);
  }
  rank(summary.entries);
  return summary;
}

}  // namespace bitloop::baselines
