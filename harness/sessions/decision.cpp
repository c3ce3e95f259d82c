#include "harness/sessions/decision.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "harness/baselines/outcome.h"
#include "harness/baselines/statistics.h"

namespace bitloop::sessions {
namespace {

using baselines::Outcome;
using nlohmann::ordered_json;
using Bits = std::optional<double>;

std::optional<Score> score_of(const TestRecord& test) {
  if (test.status != "ok" || !test.row.val_loss || !std::isfinite(*test.row.val_loss)) return {};
  return Score{test.number, *test.row.val_loss, test.row.bits_per_weight};
}

Bits difference_of(const Bits& b, const Bits& a) { return a && b ? Bits(*b - *a) : std::nullopt; }

// How one run stands to another, and whether it takes its place.
struct Comparison {
  Outcome outcome = Outcome::kUndecided;
  double loss = 0;  // the newer minus the older
  Bits bits;
  bool keep = false;
};

Comparison compare(const Score& best, const Score& score, const std::optional<double>& noise) {
  Comparison result;
  result.loss = score.val_loss - best.val_loss;
  result.bits = difference_of(score.bits_per_weight, best.bits_per_weight);
  const double bits = result.bits.value_or(0);
  const bool fewer = bits <= -baselines::kSameBits;
  if (noise)
    result.outcome =
        baselines::outcome_of(result.loss, std::abs(result.loss) >= *noise, result.bits);
  switch (result.outcome) {
    case Outcome::kBetter:
      result.keep = true;
      break;
    case Outcome::kTradeOff:  // the loss comes first, as in every table here
      result.keep = result.loss < 0;
      break;
    case Outcome::kInsideNoise:
      result.keep = fewer;
      break;
    case Outcome::kUndecided:  // the bare numbers are all there is
      result.keep = result.loss < 0 || (result.loss == 0 && fewer);
      break;
    case Outcome::kWorse:
      break;
  }
  return result;
}

const char* verdict_of(Outcome outcome) {
  return outcome == Outcome::kUndecided ? "unknown" : baselines::name_of(outcome);
}

std::optional<Score> best_before(const std::vector<TestRecord>& tests, int64_t number,
                                 const std::optional<double>& noise) {
  std::optional<Score> best;
  for (const TestRecord& test : tests) {
    if (test.number >= number) break;
    const auto score = score_of(test);
    if (score && (!best || compare(*best, *score, noise).keep)) best = score;
  }
  return best;
}

// The earlier test with every number of the score equal: loss, bits and the shares of codes.
std::optional<int64_t> twin_of(const std::vector<TestRecord>& tests, const TestRecord& test) {
  const auto key = [](const ledger::Row& row) {
    return std::tie(row.val_loss, row.val_bpb, row.bits_per_weight, row.q_neg1, row.q_zero,
                    row.q_pos1, row.seed);
  };
  for (const TestRecord& earlier : tests) {
    if (earlier.number >= test.number) break;
    if (score_of(earlier) && key(earlier.row) == key(test.row)) return earlier.number;
  }
  return {};
}

BaselineDecision against_baseline(const Score& score, const tasks::Baseline& baseline,
                                  const tasks::BaselineTable& table) {
  BaselineDecision decision;
  decision.name = baseline.name;
  decision.val_loss = *baseline.val_loss;
  decision.difference = score.val_loss - decision.val_loss;
  Outcome outcome = Outcome::kUndecided;
  if (table.noise_floor) {
    // Its mean over several seeds is itself less noisy than a single run.
    const double noise = baselines::noise_of_one_run(
        {table.noise_floor->sd, table.noise_floor->degrees_of_freedom}, baseline.seeds);
    outcome = baselines::outcome_of(decision.difference, std::abs(decision.difference) >= noise,
                                    difference_of(score.bits_per_weight, baseline.bits_per_weight));
  }
  decision.verdict = verdict_of(outcome);
  return decision;
}

std::vector<BaselineDecision> against_baselines(const Score& score,
                                                const tasks::BaselineTable& table) {
  std::vector<BaselineDecision> decisions;
  const tasks::Baseline* ternary = table.find(baselines::kTernary);
  if (ternary != nullptr && ternary->val_loss)
    decisions.push_back(against_baseline(score, *ternary, table));
  const tasks::Baseline* best = nullptr;
  for (const tasks::Baseline& baseline : table.baselines) {
    const auto more = difference_of(baseline.bits_per_weight, score.bits_per_weight);
    if (!baseline.val_loss || !more || *more >= baselines::kSameBits) continue;
    if (best == nullptr || *baseline.val_loss < *best->val_loss) best = &baseline;
  }
  if (best != nullptr && best != ternary)
    decisions.push_back(against_baseline(score, *best, table));
  return decisions;
}

std::string revert_to(int64_t test) {
  return fmt::format("Revert to test #{0} (POST …/revert {{\"test\": {0}}})", test);
}

std::string bits_words(const Bits& bits) {
  if (!bits || std::abs(*bits) < baselines::kSameBits) return "at the same bits per weight";
  return fmt::format("at {:.3f} {} bits per weight", std::abs(*bits), *bits < 0 ? "fewer" : "more");
}

std::string advice_for(const Comparison& of, const Score& best) {
  const std::string revert = revert_to(best.test);
  const std::string bits = bits_words(of.bits);
  switch (of.outcome) {
    case Outcome::kBetter:
      return fmt::format("Keep: the loss is lower beyond the noise, {}.", bits);
    case Outcome::kWorse:
      return fmt::format("{}: the loss is higher beyond the noise, {}.", revert, bits);
    case Outcome::kTradeOff:
      return of.keep
                 ? fmt::format("Keep if the loss matters more than the size: it is lower {}.", bits)
                 : fmt::format(
                       "{}, unless the size matters more than the loss: it is higher "
                       "{}.",
                       revert, bits);
    case Outcome::kInsideNoise:
      return of.keep ? fmt::format("Keep: the loss cannot be told apart, {}.", bits)
                     : fmt::format(
                           "{}, or keep the shorter file: the loss cannot be told apart, "
                           "{}.",
                           revert, bits);
    case Outcome::kUndecided:
      break;
  }
  return fmt::format("{}: the loss is {} {}, but this task's noise was never measured.",
                     of.keep ? "Keep" : revert,
                     of.loss == 0  ? "the same"
                     : of.loss < 0 ? "lower"
                                   : "higher",
                     bits);
}

std::string advice_without_score(const TestRecord& test, const std::optional<Score>& best) {
  if (test.status == kInfrastructure)
    return "Keep, and test again: the machine failed, not the candidate, and gave the test back.";
  if (test.status == kCancelled)
    return "Keep, and test again when it is worth another test: it was cancelled, which says "
           "nothing of the candidate.";
  const std::string mend = fmt::format("it ended as {} and has no score", test.status);
  if (best) return fmt::format("{}, or mend the candidate: {}.", revert_to(best->test), mend);
  return fmt::format("Keep what can be mended, or undo: {}.", mend);
}

}  // namespace

std::optional<double> noise_of(const tasks::BaselineTable& table) {
  if (!table.noise_floor) return {};
  return baselines::noise_of_one_run({table.noise_floor->sd, table.noise_floor->degrees_of_freedom},
                                     1);
}

std::optional<Score> best_of(const std::vector<TestRecord>& tests,
                             const tasks::BaselineTable& table) {
  const int64_t after_all = tests.empty() ? 0 : tests.back().number + 1;
  return best_before(tests, after_all, noise_of(table));
}

Decision decide(const std::vector<TestRecord>& tests, int64_t number,
                const tasks::BaselineTable& table) {
  const TestRecord& test = *std::ranges::find(tests, number, &TestRecord::number);
  Decision decision;
  decision.noise = noise_of(table);
  decision.against = best_before(tests, number, decision.noise);
  const auto score = score_of(test);
  if (!score) {
    decision.verdict = "unknown";
    decision.advice = advice_without_score(test, decision.against);
    return decision;
  }
  decision.baselines = against_baselines(*score, table);
  if (!decision.against) {
    decision.verdict = "first";
    decision.keep = true;
    decision.advice = "Keep: it is the first score, which the next tests are compared with.";
    return decision;
  }
  const Comparison of = compare(*decision.against, *score, decision.noise);
  decision.verdict = verdict_of(of.outcome);
  decision.keep = of.keep;
  decision.difference = of.loss;
  decision.same_as = twin_of(tests, test);
  decision.advice = advice_for(of, *decision.against);
  return decision;
}

ordered_json to_json(const Decision& decision) {
  const auto number = [](const auto& value) {
    return value ? ordered_json(*value) : ordered_json();
  };
  ordered_json baselines = ordered_json::array();
  for (const BaselineDecision& of : decision.baselines)
    baselines.push_back({{"name", of.name},
                         {"val_loss", of.val_loss},
                         {"difference", of.difference},
                         {"verdict", of.verdict}});
  ordered_json against;
  if (decision.against)
    against = {{"test", decision.against->test},
               {"val_loss", decision.against->val_loss},
               {"bits_per_weight", number(decision.against->bits_per_weight)}};
  return {{"verdict", decision.verdict},
          {"against", against},
          {"difference", number(decision.difference)},
          {"noise", number(decision.noise)},
          {"same_as", number(decision.same_as)},
          {"baselines", baselines},
          {"advice", decision.advice}};
}

std::string decision_line(const Decision& decision) {
  std::string line = "[Decision] " + decision.verdict;
  if (decision.difference) {
    const std::string_view words = decision.verdict == "better"         ? "better than"
                                   : decision.verdict == "worse"        ? "worse than"
                                   : decision.verdict == "inside_noise" ? "inside the noise of"
                                   : decision.verdict == "trade_off"    ? "a trade-off with"
                                                                        : "unknown against";
    line = fmt::format("[Decision] {} test #{}: val_loss {:+.4f}", words, decision.against->test,
                       *decision.difference);
    if (decision.noise) line += fmt::format(" (noise ±{:.4f})", *decision.noise);
    if (decision.same_as)
      line += fmt::format(", the very score of test #{}: the two do the same", *decision.same_as);
  }
  return fmt::format("{}. {}", line, decision.advice);
}

}  // namespace bitloop::sessions
