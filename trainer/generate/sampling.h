// The next token from what a model says of it: greedy, or drawn at a temperature from the likeliest
// k (Fan et al. 2018) and the nucleus of mass p (Holtzman et al. 2020), in this order, as Hugging
// Face's transformers do it.
#pragma once

#include <cstdint>
#include <random>
#include <span>

#include "harness/base/result.h"

namespace bitloop::trainer {

struct Sampling {
  double temperature = 1.0;  // 0: always the likeliest token
  int64_t top_k = 0;         // 0: all
  double top_p = 1.0;        // at least one token stays, whatever p is
  uint64_t seed = 42;
};

// Draws for one sequence: the same numbers for the same seed and sequence, whatever others there
// are.
class Sampler {
 public:
  Sampler(const Sampling& sampling, uint64_t sequence);
  // The id of the next token; of equally likely ones the lowest id is taken first. Error
  // "bad_weights" where a logit is not a number.
  Result<int64_t> next(std::span<const float> logits);

 private:
  double uniform();  // in [0, 1)

  Sampling sampling_;
  std::mt19937_64 random_;
};

}  // namespace bitloop::trainer
