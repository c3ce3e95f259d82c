#include "trainer/loop/step.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <optional>

#include "lua/tensor/backward_error.h"
#include "trainer/audit/gradients.h"
#include "trainer/distributed/meeting.h"
#include "trainer/kernels/spans.h"
#include "trainer/optim/schedule.h"

namespace bitloop::trainer {
namespace {

using kernels::Span;

constexpr int64_t kStepsBetweenLooks = 100;  // at whether all ranks have the same weights

// One micro-batch's mean loss, which may still be computed when this returns; adds `share` times
// its gradients.
Result<at::Tensor> eager_pass(Run& run, const Batch& batch, const ForwardContext& context,
                              double share) {
  const auto forward = [&]() -> Result<at::Tensor> {
    const Span span("forward", "rest");
    BITLOOP_ASSIGN(logits, run.model->forward(batch.inputs_BT, context));
    return at::cross_entropy_loss(logits, batch.targets_BT.view({-1}));
  };
  BITLOOP_ASSIGN(loss, forward());
  const Span span("backward", "rest");
  torch::autograd::backward({share == 1.0 ? loss : loss * share}, {});
  return loss.detach();
}

// The same by whichever path this run takes.
Result<at::Tensor> pass(Run& run, const Batch& batch, const ForwardContext& context, double share,
                        const TrainingPass::Announce& announce) {
  const Span span("forward and backward", "rest");
  return lua::catching_backward([&]() -> Result<at::Tensor> {
    if (!run.fused) return eager_pass(run, batch.to(run.device), context, share);
    return run.fused->accumulate(batch.inputs_BT, batch.targets_BT, context, share, announce);
  });
}

}  // namespace

AdamW make_optimizer(Run& run) {
  std::vector<AdamW::Slot> slots;
  for (const auto& [name, tensor] : run.model->named_parameters())
    slots.push_back({tensor, 1.0, tensor.dim() >= 2 ? run.job.train.weight_decay : 0.0, name});
  slots.insert(slots.end(), run.quantizer_slots.begin(), run.quantizer_slots.end());
  return AdamW(std::move(slots), run.job.train);
}

namespace {

// This process's micro-batches of a step: the sum of the losses, of which `all` are in the step.
// `early`, unless it is null, learns from the last of them which gradients are whole.
Result<double> pass_all(Run& run, int64_t step, const ForwardContext& context, int64_t B,
                        int64_t all, EarlySums* early) {
  const RankConfig& ranks = run.job.ranks;
  std::vector<at::Tensor> losses;  // looked at when all are under way
  const double share = 1.0 / static_cast<double>(all);
  const int64_t end = all * (ranks.rank + 1) / ranks.count;
  TrainingPass::Announce announce;
  for (int64_t i = all * ranks.rank / ranks.count; i < end; ++i) {
    if (early != nullptr && i + 1 == end) announce = [early](size_t group) { early->begin(group); };
    const Batch batch = [&] {
      const Span span("data", "batch");
      return training_batch(run.data.train, run.job.train.seed, step, i * B, B, run.job.sequence());
    }();
    BITLOOP_ASSIGN(loss, pass(run, batch, context, share, announce));
    losses.push_back(std::move(loss));
  }
  const at::Tensor all_losses = at::stack(losses).cpu();  // the first place that waits for a GPU
  if (run.fused) BITLOOP_TRY(run.fused->end_step(context));
  double sum = 0.0;
  for (int64_t i = 0; i < all_losses.numel(); ++i) sum += all_losses[i].item<double>();
  return sum;
}

}  // namespace

Result<StepResult> train_step(Run& run, AdamW& optimizer, int64_t step) {
  const TrainConfig& config = run.job.train;
  const int64_t B = run.fused ? run.job.micro_batch() : run.eager_micro_batch(),
                micro_batches = config.batch / B;  // of all ranks
  if (run.ranks && step % kStepsBetweenLooks == 0) BITLOOP_TRY(same_weights(run, step));
  BITLOOP_ASSIGN(lambda, run.lambda(step));
  ForwardContext context = run.context(step, true);
  context.lambda = lambda;
  {
    const Span span("weights", "quantise");
    BITLOOP_TRY(run.model->quantize_weights(context));
    if (run.fused) BITLOOP_TRY(run.fused->begin_step(context));
  }

  std::optional<EarlySums> early;
  if (run.sums_early) early.emplace(*run.ranks, run.fused->early_gradients());
  EarlySums* const sums = early ? &*early : nullptr;
  const auto passes = [&] { return pass_all(run, step, context, B, micro_batches, sums); };
  BITLOOP_ASSIGN(loss_sum, run.ranks ? add_up(run, caught(passes), sums) : passes());
  BITLOOP_TRY(lua::catching_backward([&]() -> Status {
    const Span span("backward", "through the quantiser of weights");
    run.model->finish_weight_gradients(context);
    return {};
  }));
  if (run.quantizer->has("regularizer") && run.quantizer->format().quantizes_weights)
    BITLOOP_TRY(run.regularizers.add_gradients(run.model->bitlinears(), context));
  const double loss = loss_sum / static_cast<double>(micro_batches);
  if (!std::isfinite(loss))
    return fail("diverged", fmt::format("the training loss of step {} is not finite", step + 1));
  if (step == 0)
    for (const BitLinear* layer : run.model->bitlinears())
      BITLOOP_TRY(gradients_reach_parameters(*layer));

  const double rate = learning_rate(config, step);
  const double norm = [&] {
    const Span span("optimiser", "AdamW");
    return optimizer.step(rate);
  }();
  if (!std::isfinite(norm))
    return fail("diverged", fmt::format("a gradient of step {} is not finite", step + 1));
  const Span span("weights", "after_step");
  if (run.quantizer->has("after_step"))
    for (BitLinear* layer : run.model->bitlinears()) BITLOOP_TRY(after_step(*layer, context));
  return StepResult{loss, lambda, rate};
}

}  // namespace bitloop::trainer
