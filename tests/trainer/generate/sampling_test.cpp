#include "trainer/generate/sampling.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace bitloop::trainer {
namespace {

constexpr int kDraws = 20'000;

std::map<int64_t, double> shares(const std::vector<float>& logits, const Sampling& sampling) {
  Sampler sampler(sampling, 0);
  std::map<int64_t, double> found;
  for (int i = 0; i < kDraws; ++i) found[*sampler.next(logits)] += 1.0 / kDraws;
  return found;
}

// Of 20,000 draws a share lies within five standard deviations.
void expect_share(double found, double wanted) {
  EXPECT_NEAR(found, wanted, 5 * std::sqrt(wanted * (1 - wanted) / kDraws));
}

const std::vector<float> kLogits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};

TEST(Sampler, GreedyTakesTheLikeliestAndOfEqualsTheFirst) {
  Sampler sampler({.temperature = 0}, 0);
  EXPECT_EQ(sampler.next(kLogits).value(), 1);
  EXPECT_EQ(sampler.next(std::vector<float>{1, 3, 3}).value(), 1);
}

TEST(Sampler, DrawsByProbability) {
  const auto found = shares(kLogits, {});
  for (const auto& [id, share] : std::map<int64_t, double>{{0, .1}, {1, .4}, {2, .2}, {3, .3}})
    expect_share(found.at(id), share);
}

TEST(Sampler, ATemperatureIsAPowerOfTheProbabilities) {
  const auto found = shares(kLogits, {.temperature = 0.5});
  const double sum = .01 + .16 + .04 + .09;
  expect_share(found.at(0), .01 / sum);
  expect_share(found.at(1), .16 / sum);
}

TEST(Sampler, TopKKeepsTheLikeliest) {
  const auto found = shares(kLogits, {.top_k = 2});
  ASSERT_EQ(found.size(), 2U);
  expect_share(found.at(1), 4.0 / 7);
  expect_share(found.at(3), 3.0 / 7);
  EXPECT_EQ(shares(kLogits, {.top_k = 100}).size(), 4U);
}

TEST(Sampler, TopPKeepsTheSmallestNucleus) {
  EXPECT_EQ(shares(kLogits, {.top_p = 0.0}).size(), 1U);
  EXPECT_EQ(shares(kLogits, {.top_p = 0.39}).size(), 1U);
  EXPECT_EQ(shares(kLogits, {.top_p = 0.5}).size(), 2U);
  const auto three = shares(kLogits, {.top_p = 0.8});
  ASSERT_EQ(three.size(), 3U);
  expect_share(three.at(2), 2.0 / 9);
  // The nucleus is of what top-k left.
  EXPECT_EQ(shares(kLogits, {.top_k = 2, .top_p = 0.5}).size(), 1U);
}

TEST(Sampler, TheSameSeedAndSequenceDrawTheSame) {
  const auto drawn = [](uint64_t seed, uint64_t sequence) {
    Sampler sampler({.seed = seed}, sequence);
    std::vector<int64_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(*sampler.next(kLogits));
    return ids;
  };
  EXPECT_EQ(drawn(1, 2), drawn(1, 2));
  EXPECT_NE(drawn(1, 2), drawn(1, 3));
  EXPECT_NE(drawn(1, 2), drawn(2, 2));
}

TEST(Sampler, LogitsThatAreNoNumbersAreNamed) {
  const float infinity = std::numeric_limits<float>::infinity();
  Sampler sampler({}, 0);
  EXPECT_EQ(sampler.next(std::vector<float>{1, NAN}).error().code, "bad_weights");
  EXPECT_EQ(sampler.next(std::vector<float>{}).error().code, "bad_weights");
  EXPECT_EQ(sampler.next(std::vector<float>{1, infinity, 2}).value(), 1);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(sampler.next(std::vector<float>{-infinity, 1, -infinity}).value(), 1);
  EXPECT_TRUE(sampler.next(std::vector<float>{-infinity, -infinity}));
}

}  // namespace
}  // namespace bitloop::trainer
