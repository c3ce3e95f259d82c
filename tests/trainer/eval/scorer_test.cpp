#include "trainer/eval/scorer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

// Each window alone through the model's own forward pass.
WindowScore plain(Transformer& model, const Window& window, const ForwardContext& context) {
  const auto T = static_cast<int64_t>(window.input.size());
  const at::Tensor ids = at::tensor(window.input).to(at::kLong).view({1, T});
  const at::Tensor logits =
      model.forward(ids, context)->narrow(1, 0, model.config().vocab_size).to(at::kDouble);
  const at::Tensor log_probabilities = at::log_softmax(logits, 1);
  WindowScore score;
  const auto n = static_cast<int64_t>(window.targets.size());
  for (int64_t i = 0; i < n; ++i) {
    const at::Tensor row = log_probabilities[T - n + i];
    const int64_t target = window.targets[static_cast<size_t>(i)];
    score.log_probability += row[target].item<double>();
    score.greedy = score.greedy && row.argmax().item<int64_t>() == target;
    ++score.tokens;
  }
  return score;
}

// Of all lengths, in groups that share a beginning (also one that is a beginning of another, and
// one with nothing in common) and alone.
std::vector<Window> many_windows() {
  std::vector<Window> windows;
  for (int32_t i = 0; i < 23; ++i) {
    Window window;
    for (int32_t k = 0; k < 1 + i % 12; ++k) window.input.push_back((i * 7 + k * k) % 17);
    const auto n = static_cast<int32_t>(window.input.size());
    for (int32_t k = 0; k < 1 + (i * 5) % n; ++k) window.targets.push_back((i + 3 * k) % 17);
    windows.push_back(window);
  }
  for (int64_t group = 0; group < 3; ++group)
    for (int32_t choice = 0; choice < 4; ++choice) {
      Window window{{3, 1, 4, 1, 5}, {}, group};
      if (group == 2) window.input[0] = choice;
      for (int32_t k = 0; k < choice + (group == 0 ? 1 : 0); ++k)
        window.input.push_back((choice * 5 + k + static_cast<int32_t>(group)) % 17);
      for (int32_t k = 0; k < 1 + choice; ++k) window.targets.push_back((choice + 2 * k) % 17);
      windows.push_back(window);
    }
  return windows;
}

TEST(Scorer, BatchesOfAllLengthsChangeNoScore) {
  const at::NoGradGuard no_grad;
  Transformer model(small_model(), false, 3);  // 17 tokens in 32 rows, a context of 12
  for (const auto& [name, tensor] : model.named_parameters()) tensor.detach().mul_(8.0);
  const ForwardContext context;
  ASSERT_TRUE(model.quantize_weights(context));
  std::vector<Window> windows = many_windows();
  // A greedy one.
  Window greedy = windows[11];
  const at::Tensor ids = at::tensor(greedy.input).to(at::kLong).view({1, -1});
  greedy.targets = {static_cast<int32_t>(
      model.forward(ids, context)->narrow(1, 0, 17)[ids.size(1) - 1].argmax().item<int64_t>())};
  windows.push_back(greedy);

  for (const int64_t batch_tokens : {1, 24, 4096}) {
    size_t last = 0;
    const auto scores =
        score_windows(model, windows, context, {batch_tokens}, [&](size_t done) { last = done; });
    ASSERT_TRUE(scores);
    EXPECT_EQ(last, windows.size());
    for (size_t i = 0; i < windows.size(); ++i) {
      const WindowScore wanted = plain(model, windows[i], context);
      EXPECT_NEAR((*scores)[i].log_probability, wanted.log_probability, 1e-4) << i;
      EXPECT_EQ((*scores)[i].greedy, wanted.greedy) << i;
      EXPECT_EQ((*scores)[i].tokens, wanted.tokens) << i;
    }
    EXPECT_TRUE(scores->back().greedy);
  }
}

// What a repetition of a score does otherwise than the score.
TEST(Scorer, NeitherTheOrderOfBatchesNorThatOfRowsChangesABit) {
  const at::NoGradGuard no_grad;
  Transformer model(small_model(), /*quantize_head=*/true, 3);
  const auto digest_of = [&](const std::string& lua, bool reversed, uint64_t seed) {
    const auto quantizer = quantizer_from(lua);
    ForwardContext context{.quantizer = quantizer.get(), .step = 9, .total_steps = 9};
    ScoreGuards guards(quantizer.get(), true, seed);
    context.guard = guards.of(1);
    EXPECT_TRUE(model.quantize_weights(context));
    const auto scores =
        score_windows(model, many_windows(), context,
                      {.batch_tokens = 24, .reversed = reversed, .guards = &guards}, [](size_t) {});
    EXPECT_TRUE(scores) << scores.error().message;
    std::vector<double> all;
    if (scores)
      for (const WindowScore& score : *scores) all.push_back(score.log_probability);
    return all;
  };
  EXPECT_EQ(digest_of(kTernaryLua, false, 1), digest_of(kTernaryLua, true, 2));
  std::string mixing = kTernaryLua;  // each row takes over a little of the one before it
  mixing.insert(mixing.find("  local scale = x:abs()"),
                "  x = x + x:roll{shifts = 1, dims = 0} * 0.3\n");
  EXPECT_NE(digest_of(mixing, false, 1), digest_of(mixing, true, 2));
}

}  // namespace
}  // namespace bitloop::trainer
