#include "trainer/optim/adamw.h"

#include <ATen/ATen.h>

#include <cmath>

namespace bitloop::trainer {
namespace {

constexpr double kEpsilon = 1e-8;

}  // namespace

AdamW::AdamW(std::vector<Slot> slots, const TrainConfig& config)
    : slots_(std::move(slots)),
      beta1_(config.beta1),
      beta2_(config.beta2),
      grad_clip_(config.grad_clip) {
  for (const Slot& slot : slots_)
    moments_.push_back(
        {at::zeros_like(slot.parameter.detach()), at::zeros_like(slot.parameter.detach())});
}

double AdamW::step(double learning_rate) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> parameters, gradients, firsts, seconds;
  std::vector<const Slot*> live;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].parameter.grad().defined()) continue;
    live.push_back(&slots_[i]);
    gradients.push_back(slots_[i].parameter.grad());
    firsts.push_back(moments_[i].first);
    seconds.push_back(moments_[i].second);
  }
  if (live.empty()) return 0.0;

  // The norm is summed tensor by tensor in a fixed order, in double: the same bits every time.
  double squares = 0.0;
  for (const at::Tensor& norm : at::_foreach_norm(gradients, 2)) {
    const double value = norm.item<float>();
    squares += value * value;
  }
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) return norm;
  if (grad_clip_ > 0 && norm > grad_clip_) at::_foreach_mul_(gradients, grad_clip_ / (norm + 1e-6));

  ++steps_;
  // PyTorch's fused kernel takes one rate and decay a call, so tensors are grouped by theirs.
  std::vector<bool> done(live.size(), false);
  for (size_t i = 0; i < live.size(); ++i) {
    if (done[i]) continue;
    std::vector<at::Tensor> p, g, m, v, count;
    for (size_t j = i; j < live.size(); ++j) {
      if (done[j] || live[j]->lr_scale != live[i]->lr_scale ||
          live[j]->weight_decay != live[i]->weight_decay)
        continue;
      done[j] = true;
      p.push_back(live[j]->parameter);
      g.push_back(gradients[j]);
      m.push_back(firsts[j]);
      v.push_back(seconds[j]);
      count.push_back(at::full({}, static_cast<double>(steps_), at::kFloat));
    }
    at::_fused_adamw_(p, g, m, v, {}, count, learning_rate * live[i]->lr_scale, beta1_, beta2_,
                      live[i]->weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
  for (const Slot* slot : live) slot->parameter.mutable_grad() = at::Tensor();
  return norm;
}

}  // namespace bitloop::trainer
