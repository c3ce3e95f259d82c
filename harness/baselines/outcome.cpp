#include "harness/baselines/outcome.h"

namespace bitloop::baselines {

const char* name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kBetter:
      return "better";
    case Outcome::kWorse:
      return "worse";
    case Outcome::kTradeOff:
      return "trade_off";
    case Outcome::kInsideNoise:
      return "inside_noise";
    case Outcome::kUndecided:
      return "undecided";
  }
  return "undecided";
}

Outcome outcome_of(double loss, bool beyond_noise, std::optional<double> bits) {
  if (!beyond_noise) return Outcome::kInsideNoise;
  if (loss < 0) return bits.value_or(0) < kSameBits ? Outcome::kBetter : Outcome::kTradeOff;
  return bits.value_or(0) > -kSameBits ? Outcome::kWorse : Outcome::kTradeOff;
}

}  // namespace bitloop::baselines
