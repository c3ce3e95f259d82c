#include "trainer/generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace bitloop::trainer {
namespace {

std::mt19937_64 random_of(uint64_t seed, uint64_t sequence) {
  const auto low = [](uint64_t number) { return static_cast<uint32_t>(number); };
  std::seed_seq seeds{low(seed), low(seed >> 32U), low(sequence), low(sequence >> 32U)};
  return std::mt19937_64(seeds);
}

}  // namespace

Sampler::Sampler(const Sampling& sampling, uint64_t sequence)
    : sampling_(sampling), random_(random_of(sampling.seed, sequence)) {}

double Sampler::uniform() { return static_cast<double>(random_() >> 11U) * 0x1p-53; }

Result<int64_t> Sampler::next(std::span<const float> logits) {
  if (std::ranges::any_of(logits, [](float logit) { return std::isnan(logit); }) || logits.empty())
    return fail("bad_weights", "gives logits that are not numbers");
  const auto best = std::ranges::max_element(logits);
  if (sampling_.temperature <= 0 || std::isinf(*best)) return best - logits.begin();

  // The likeliest first; an infinite number of one sign has probability 0.
  std::vector<int64_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), int64_t{0});
  const auto likelier = [&](int64_t a, int64_t b) {
    const float left = logits[static_cast<size_t>(a)], right = logits[static_cast<size_t>(b)];
    return left != right ? left > right : a < b;
  };
  if (sampling_.top_k > 0 && sampling_.top_k < std::ssize(ids)) {
    std::nth_element(ids.begin(), ids.begin() + sampling_.top_k, ids.end(), likelier);
    ids.resize(static_cast<size_t>(sampling_.top_k));
  }
  std::ranges::sort(ids, likelier);
  std::vector<double> weights;
  double sum = 0;
  for (const int64_t id : ids) {
    weights.push_back(std::exp((static_cast<double>(logits[static_cast<size_t>(id)]) - *best) /
                               sampling_.temperature));
    sum += weights.back();
  }
  if (sampling_.top_p < 1.0) {
    double mass = 0;
    size_t kept = 0;
    while (kept < weights.size() && (kept == 0 || mass < sampling_.top_p * sum))
      mass += weights[kept++];
    weights.resize(kept);
    sum = mass;
  }
  double left = uniform() * sum;
  size_t drawn = 0;
  while (drawn + 1 < weights.size() && left >= weights[drawn]) left -= weights[drawn++];
  return ids[drawn];
}

}  // namespace bitloop::trainer
