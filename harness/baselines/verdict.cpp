#include "harness/baselines/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bitloop::baselines {
namespace {

using Json = nlohmann::ordered_json;

Json number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json();
}

Json side_json(const Entry& entry) {
  Json losses = Json::array();
  Json statuses = Json::array();
  for (const SeedResult& seed : entry.seeds) {
    losses.push_back(number(seed.val_loss));
    statuses.push_back(seed.status);
  }
  const std::optional<Spread>& loss = entry.val_loss;
  return {{"name", entry.name},
          {"bits_per_weight", number(entry.bits_per_weight)},
          {"val_loss", loss ? Json(loss->mean) : Json()},
          {"val_loss_sd", loss ? number(loss->sd) : Json()},
          {"val_losses", losses},
          {"statuses", statuses}};
}

Json benchmarks_json(const Verdict& verdict) {
  Json list = Json::array();
  for (const BenchmarkDifference& of : verdict.benchmarks)
    list.push_back({{"task", of.task},
                    {"metric", of.choices ? "acc" : "nats_per_token"},
                    {"documents", of.difference.pairs},
                    {"seeds", of.seeds},
                    {"a", of.a},
                    {"b", of.b},
                    {"difference", of.difference.mean},
                    {"standard_error", number(of.difference.standard_error)},
                    {"low", number(of.difference.low)},
                    {"high", number(of.difference.high)},
                    {"p_value", number(of.difference.p_value)},
                    {"unpaired_standard_error", number(of.unpaired_error)}});
  return list;
}

std::string p_text(double p) {
  return p < 1e-4 ? std::string("p < 0.0001") : fmt::format("p = {:.4f}", p);
}

// "0.0021 nats lower (95% interval 0.0010 to 0.0032, p = 0.0041, 3 pairs)".
std::string loss_text(const PairedDifference& difference) {
  const bool lower = difference.mean < 0;
  const double low = lower ? -*difference.high : *difference.low;
  const double high = lower ? -*difference.low : *difference.high;
  return fmt::format("{:.4f} nats {} ({:.0f}% interval {:.4f} to {:.4f}, {}, {} pairs)",
                     std::abs(difference.mean), lower ? "lower" : "higher", 100 * kConfidence, low,
                     high, p_text(*difference.p_value), difference.pairs);
}

// A line a benchmark; "" without any.
std::string benchmarks_text(const Verdict& verdict) {
  if (verdict.benchmarks.empty()) return "";
  std::string text = fmt::format("{:<16} {:>9}  {:<10} {:>9} {:>9} {:>10}  {}\n", "benchmark",
                                 "documents", "", "A", "B", "B - A", "paired by document");
  for (const BenchmarkDifference& of : verdict.benchmarks) {
    const double unit = of.choices ? 100.0 : 1.0;
    const int decimals = of.choices ? 2 : 4;
    const auto cell = [&](double value) { return fmt::format("{:.{}f}", unit * value, decimals); };
    const PairedDifference& difference = of.difference;
    std::string certainty = "one document says nothing about noise";
    if (difference.p_value)
      certainty =
          fmt::format("{:.0f}% interval {} to {}, {}{}", 100 * kConfidence, cell(*difference.low),
                      cell(*difference.high), p_text(*difference.p_value),
                      difference.beyond_noise() ? "" : ": inside the noise");
    text += fmt::format("{:<16} {:>9}  {:<10} {:>9} {:>9} {:>10}  {}\n", of.task, difference.pairs,
                        of.choices ? "acc, %" : "nats/token", cell(of.a), cell(of.b),
                        fmt::format("{:+.{}f}", unit * difference.mean, decimals), certainty);
  }
  return text;
}

std::string bits_text(double bits) {
  if (std::abs(bits) < kSameBits) return "at the same bits per weight";
  return fmt::format("with {:.3f} {} bits per weight", std::abs(bits), bits < 0 ? "fewer" : "more");
}

std::string sentence(const Entry& a, const Entry& b, const Verdict& verdict) {
  if (verdict.outcome == Outcome::kUndecided) {
    if (!verdict.val_loss)
      return fmt::format("{} and {} cannot be compared: no seed has a score of both.", a.name,
                         b.name);
    return fmt::format(
        "One pair of seeds says nothing about noise: {} is {:+.4f} nats from {}, and more seeds "
        "must tell whether that is chance.",
        b.name, verdict.val_loss->mean, a.name);
  }
  const std::string bits =
      verdict.bits ? fmt::format(" {}", bits_text(*verdict.bits)) : std::string();
  const std::string loss = loss_text(*verdict.val_loss);
  switch (verdict.outcome) {
    case Outcome::kBetter:
      return fmt::format("{} is better than {}: its val_loss is {},{}.", b.name, a.name, loss,
                         bits);
    case Outcome::kWorse:
      return fmt::format("{} is worse than {}: its val_loss is {},{}.", b.name, a.name, loss, bits);
    case Outcome::kTradeOff:
      return fmt::format("{} trades bits for loss against {}: its val_loss is {},{}.", b.name,
                         a.name, loss, bits);
    default:
      return fmt::format(
          "The difference is inside the noise: {}{} has a val_loss {} than {}; more seeds would "
          "narrow the interval.",
          b.name, bits, loss, a.name);
  }
}

}  // namespace

Verdict compare(const Entry& a, const Entry& b) {
  Verdict verdict;
  std::vector<double> losses_a, losses_b;
  for (size_t i = 0; i < std::min(a.seeds.size(), b.seeds.size()); ++i)
    if (a.seeds[i].val_loss && b.seeds[i].val_loss) {
      losses_a.push_back(*a.seeds[i].val_loss);
      losses_b.push_back(*b.seeds[i].val_loss);
    }
  verdict.val_loss = paired_difference(losses_a, losses_b);
  if (a.bits_per_weight && b.bits_per_weight)
    verdict.bits = *b.bits_per_weight - *a.bits_per_weight;
  if (verdict.val_loss && verdict.val_loss->p_value)
    verdict.outcome =
        outcome_of(verdict.val_loss->mean, verdict.val_loss->beyond_noise(), verdict.bits);
  verdict.sentence = sentence(a, b, verdict);
  return verdict;
}

nlohmann::ordered_json verdict_json(const Summary& summary, const Entry& a, const Entry& b,
                                    const Verdict& verdict) {
  const std::optional<PairedDifference>& loss = verdict.val_loss;
  const Json difference = {{"val_loss", loss ? Json(loss->mean) : Json()},
                           {"standard_error", loss ? number(loss->standard_error) : Json()},
                           {"low", loss ? number(loss->low) : Json()},
                           {"high", loss ? number(loss->high) : Json()},
                           {"confidence", kConfidence},
                           {"p_value", loss ? number(loss->p_value) : Json()},
                           {"pairs", loss ? loss->pairs : 0},
                           {"bits_per_weight", number(verdict.bits)}};
  return {{"task", summary.task},
          {"steps", summary.steps},
          {"seeds", summary.seeds},
          {"a", side_json(a)},
          {"b", side_json(b)},
          {"difference", difference},
          {"benchmarks", benchmarks_json(verdict)},
          {"verdict", name_of(verdict.outcome)},
          {"message", verdict.sentence}};
}

std::string verdict_for_people(const Entry& a, const Entry& b, const Verdict& verdict) {
  const size_t width = std::max({a.name.size(), b.name.size(), size_t{10}});
  std::string text = fmt::format("{:<{}}", "seed", width);
  for (const SeedResult& seed : a.seeds) text += fmt::format("  {:>12}", seed.seed);
  text += fmt::format("  {:>8}  {:>7}  {:>6}\n", "mean", "sd", "bits");
  for (const Entry* side : {&a, &b}) {
    text += fmt::format("{:<{}}", side->name, width);
    for (const SeedResult& seed : side->seeds)
      text += fmt::format("  {:>12}",
                          seed.val_loss ? fmt::format("{:.4f}", *seed.val_loss) : seed.status);
    const std::optional<Spread>& loss = side->val_loss;
    text +=
        fmt::format("  {:>8}  {:>7}  {:>6}\n", loss ? fmt::format("{:.4f}", loss->mean) : "-",
                    loss && loss->sd ? fmt::format("{:.4f}", *loss->sd) : "-",
                    side->bits_per_weight ? fmt::format("{:.3f}", *side->bits_per_weight) : "-");
  }
  text += fmt::format("{:<{}}", "difference", width);
  for (size_t i = 0; i < a.seeds.size(); ++i)
    text += fmt::format("  {:>12}",
                        a.seeds[i].val_loss && b.seeds[i].val_loss
                            ? fmt::format("{:+.4f}", *b.seeds[i].val_loss - *a.seeds[i].val_loss)
                            : "-");
  if (const std::optional<PairedDifference>& loss = verdict.val_loss)
    text += fmt::format(
        "  {:>+8.4f}  {}", loss->mean,
        loss->standard_error ? fmt::format("standard error {:.4f}", *loss->standard_error) : "");
  return text + "\n" + benchmarks_text(verdict) + verdict.sentence + "\n";
}

}  // namespace bitloop::baselines
