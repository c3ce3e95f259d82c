// Random quantizers in a whole training step: fused with programs, fused with the functions, and by
// autograd. BITLOOP_FUZZ_STEPS=n tries the seeds 0 … n-1, BITLOOP_FUZZ_FIRST=k starts at k.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tests/trainer/model/random_quantizer.h"
#include "tests/trainer/model/training_step.h"

namespace bitloop::trainer {
namespace {

constexpr uint64_t kSeedsOfTheFastTier = 24;

uint64_t number_of(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Whether the file's numbers are allowed at all: scales that float16 holds, and so on.
bool trains(Trainer& trainer, lua::Quantizer& quantizer, const Batch& batch) {
  const ForwardContext context{.quantizer = &quantizer, .training = true};
  if (!trainer.model().quantize_weights(context)) return false;
  const auto logits = trainer.model().forward(batch.inputs_BT, context);
  return logits && at::isfinite(*logits).all().item<bool>();
}

// Whether a step with products in bfloat16 is near the exact one: only then does it say something
// about how they are made. Some random files make a model where one rounding changes everything.
bool is_steady(const Outcome& rounded, const Outcome& exact) {
  const Gradients got = by_tensor(rounded.gradients), want = by_tensor(exact.gradients);
  return std::all_of(want.begin(), want.end(), [&](const auto& entry) {
    return got.contains(entry.first) && relative(got.at(entry.first), entry.second) < 0.05;
  });
}

// compare's bounds, wider: what a rounding does to a random file's codes and masks is many jumps of
// any size, of which `rounded` is one sample. A wrong gradient is off by its own size.
void roughly_compare(const Outcome& got, const Outcome& exact, const Outcome& rounded,
                     double least) {
  EXPECT_NEAR(got.loss, exact.loss, 2.5e-3 + 6.0 * std::abs(rounded.loss - exact.loss));
  const Gradients made = by_tensor(got.gradients), want = by_tensor(exact.gradients),
                  oracle = by_tensor(rounded.gradients);
  ASSERT_EQ(made.size(), want.size());
  double largest = 0.0;
  for (const auto& [name, gradient] : want)
    largest = std::max(largest, gradient.norm().item<double>());
  for (const auto& [name, gradient] : want) {
    ASSERT_TRUE(made.contains(name)) << name;
    // What cancels to nothing beside the others is made of roundings.
    if (gradient.norm().item<double>() < 1e-6 * largest) {
      EXPECT_LT(made.at(name).norm().item<double>(), 1e-4 * largest) << name;
      continue;
    }
    EXPECT_LT(relative(made.at(name), gradient), 6.0 * relative(oracle.at(name), gradient) + least)
        << name << ", of size " << made.at(name).norm().item<double>() << " and "
        << gradient.norm().item<double>();
  }
}

TEST(FuzzStep, ProgramsChangeNothingInATrainingStep) {
  if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  const uint64_t first = number_of("BITLOOP_FUZZ_FIRST", 0),
                 count = number_of("BITLOOP_FUZZ_STEPS", kSeedsOfTheFastTier);
  int64_t trained = 0, programs = 0;
  for (uint64_t seed = first;
       seed < first + count && !(HasFailure() && count <= kSeedsOfTheFastTier); ++seed) {
    Case c{.name = "random", .quantizer = random_quantizer(seed, true).lua, .batch = 2};
    c.lambda = seed % 5 == 0 ? 0.5 : 1.0;
    if (seed % 4 == 0) c.micro_batches = 2;
    SCOPED_TRACE(fmt::format("seed {}\n{}", seed, c.quantizer));
    at::manual_seed(17 + seed);
    const Batch batch = random_batch(c);
    Trainer trainer(c);
    const auto quantizer = load(c.quantizer);
    if (!trains(trainer, *quantizer, batch)) continue;
    const Outcome exact = trainer.step(batch, Products::kFloat32, false);
    const Outcome rounded = trainer.step(batch, Products::kBfloat16, false);
    if (!is_steady(rounded, exact)) continue;
    ++trained;
    const Outcome functions = trainer.step(batch, Products::kBfloat16, true);
    roughly_compare(functions, exact, rounded, 0.1);
    // The first captured step records, the second runs the programs: as the functions do, but where
    // a number lies between two codes.
    roughly_compare(trainer.step(batch, Products::kBfloat16, true, true), functions, rounded, 0.01);
    roughly_compare(trainer.step(batch, Products::kBfloat16, true, true), functions, rounded, 0.01);
    for (const BitLinear* layer : trainer.model().bitlinears())
      programs += layer->weight_capture.state == Capture::kCaptured;
  }
  fmt::print("{} files trained, {} weights by programs\n", trained, programs);
  if (count < 20) return;
  EXPECT_GT(trained * 2, static_cast<int64_t>(count));
  EXPECT_GT(programs, trained * 4);  // of 8 layers each
}

}  // namespace
}  // namespace bitloop::trainer
