#include "trainer/eval/scorer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

// Each window alone through the model's own forward pass.
WindowScore plain(Gpt2& model, const Window& window, const ForwardContext& context) {
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

TEST(Scorer, BatchesOfAllLengthsChangeNoScore) {
  const at::NoGradGuard no_grad;
  Gpt2 model(small_model(), false, 3);  // 17 tokens in 32 rows, a context of 12
  for (const auto& [name, tensor] : model.named_parameters()) tensor.detach().mul_(8.0);
  const ForwardContext context;
  ASSERT_TRUE(model.quantize_weights(context));
  std::vector<Window> windows;
  for (int32_t i = 0; i < 23; ++i) {
    Window window;
    for (int32_t k = 0; k < 1 + i % 12; ++k) window.input.push_back((i * 7 + k * k) % 17);
    const auto n = static_cast<int32_t>(window.input.size());
    for (int32_t k = 0; k < 1 + (i * 5) % n; ++k) window.targets.push_back((i + 3 * k) % 17);
    windows.push_back(window);
  }
  // A greedy one.
  Window greedy = windows[11];
  const at::Tensor ids = at::tensor(greedy.input).to(at::kLong).view({1, -1});
  greedy.targets = {static_cast<int32_t>(
      model.forward(ids, context)->narrow(1, 0, 17)[ids.size(1) - 1].argmax().item<int64_t>())};
  windows.push_back(greedy);

  // Groups that share a beginning, also one that is a beginning of another, and one with nothing in
  // common.
  for (int64_t group = 0; group < 3; ++group)
    for (int32_t choice = 0; choice < 4; ++choice) {
      Window window{{3, 1, 4, 1, 5}, {}, group};
      if (group == 2) window.input[0] = choice;
      for (int32_t k = 0; k < choice + (group == 0 ? 1 : 0); ++k)
        window.input.push_back((choice * 5 + k + static_cast<int32_t>(group)) % 17);
      for (int32_t k = 0; k < 1 + choice; ++k) window.targets.push_back((choice + 2 * k) % 17);
      windows.push_back(window);
    }
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

}  // namespace
}  // namespace bitloop::trainer
