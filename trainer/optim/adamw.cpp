#include "trainer/optim/adamw.h"

#include <ATen/ATen.h>

#include <cmath>

#include "trainer/kernels/adamw.h"

namespace bitloop::trainer {
namespace {

constexpr double kEpsilon = 1e-8;

}  // namespace

AdamW::AdamW(std::vector<Slot> slots, const TrainConfig& config)
    : slots_(std::move(slots)),
      beta1_(config.beta1),
      beta2_(config.beta2),
      grad_clip_(config.grad_clip) {
  for (const Slot& slot : slots_) {
    TORCH_CHECK(slot.parameter.is_contiguous() && slot.parameter.scalar_type() == at::kFloat);
    moments_.push_back(
        {at::zeros_like(slot.parameter.detach()), at::zeros_like(slot.parameter.detach())});
  }
}

double AdamW::step(double learning_rate) {
  std::vector<at::Tensor> gradients;  // owners of the numbers
  std::vector<kernels::AdamwTensor> tensors;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (!slot.parameter.grad().defined()) continue;
    gradients.push_back(slot.parameter.grad().contiguous());
    tensors.push_back({.parameter = slot.parameter.data_ptr<float>(),
                       .first = moments_[i].first.data_ptr<float>(),
                       .second = moments_[i].second.data_ptr<float>(),
                       .gradient = gradients.back().const_data_ptr<float>(),
                       .n = slot.parameter.numel(),
                       .rate = learning_rate * slot.lr_scale,
                       .weight_decay = slot.weight_decay});
  }
  if (tensors.empty()) return 0.0;

  const double norm = std::sqrt(kernels::sum_of_squares(tensors));
  // Beyond this a second moment, which is float32, would be infinite for good.
  if (!std::isfinite(static_cast<float>(norm * norm))) return HUGE_VAL;
  const bool clips = grad_clip_ > 0 && norm > grad_clip_;
  kernels::adamw(tensors, {.beta1 = beta1_,
                           .beta2 = beta2_,
                           .epsilon = kEpsilon,
                           .step = ++steps_,
                           .gradient_factor = clips ? grad_clip_ / (norm + 1e-6) : 1.0});
  for (const Slot& slot : slots_) slot.parameter.mutable_grad() = at::Tensor();
  return norm;
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::moments() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (size_t i = 0; i < slots_.size(); ++i) {
    named.emplace_back("adamw.first." + slots_[i].name, moments_[i].first);
    named.emplace_back("adamw.second." + slots_[i].name, moments_[i].second);
  }
  return named;
}

}  // namespace bitloop::trainer
