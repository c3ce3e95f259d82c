#include "trainer/eval/evaluate.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numbers>

namespace bitloop::trainer {

Result<EvalScore> evaluate(Gpt2& model, const TokenStream& validation, const EvalOptions& options,
                           ForwardContext context) {
  at::NoGradGuard no_grad;
  context.training = false;
  context.lambda = 1.0;
  context.products = Products::kExact;
  const int64_t T = model.config().context, windows = validation_windows(validation, T);
  const int64_t B = std::min(options.batch, windows), all = windows / B;
  ScoreGuard guard;
  if (options.guarded && context.quantizer != nullptr) {
    guard.digest = context.quantizer->state_digest();
    if (options.reorder_rows) {
      guard.order =
          at::randperm(B * T, at::detail::createCPUGenerator(options.order_seed), at::kLong);
      guard.inverse = at::argsort(guard.order);
    }
    context.guard = &guard;
  }
  BITLOOP_TRY(model.quantize_weights(context));

  const int64_t count = options.batches > 0 ? std::min(options.batches, all) : all;
  std::vector<double> losses(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t k = options.reversed ? count - 1 - i : i;
    const Batch batch = validation_batch(validation, k * all / count * B, B, T);
    BITLOOP_ASSIGN(logits, model.forward(batch.inputs_BT, context));
    losses[static_cast<size_t>(k)] =
        at::cross_entropy_loss(logits, batch.targets_BT.view({-1})).item<float>();
  }
  double sum = 0.0;
  for (const double loss : losses) sum += loss;
  return EvalScore{.loss = sum / static_cast<double>(count), .tokens = count * B * T};
}

double bits_per_byte(double loss) { return loss / std::numbers::ln2; }

}  // namespace bitloop::trainer
