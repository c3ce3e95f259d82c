// When is one of two candidates better than another, as a pair of (val_loss, bits per weight)? The
// one rule, for comparisons over many seeds (verdict.h) and for the single runs of sessions.
//
// Depends on nothing but the statistics: sessions use it, too (bitloop::statistics).
#pragma once

#include <optional>

namespace bitloop::baselines {

constexpr const char* kTernary = "ternary";  // the references, by name
constexpr const char* kFloat = "float";

// Bits that differ by less are the same: a layer's single scale costs 0.0003 bits a weight.
constexpr double kSameBits = 5e-4;

enum class Outcome {
  kBetter,       // b: lower loss beyond the noise, at no more bits
  kWorse,        // b: higher loss beyond the noise, at no fewer bits
  kTradeOff,     // one has the lower loss beyond the noise, the other fewer bits
  kInsideNoise,  // the losses cannot be told apart
  kUndecided,    // nothing is known about the noise
};
const char* name_of(
    Outcome outcome);  // "better", "worse", "trade_off", "inside_noise", "undecided"

// How b stands to a: `loss` and `bits` are b's minus a's. Unknown bits count as the same.
Outcome outcome_of(double loss, bool beyond_noise, std::optional<double> bits);

}  // namespace bitloop::baselines
