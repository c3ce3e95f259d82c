#include "trainer/optim/adamw.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <utility>

#include "trainer/kernels/adamw.h"

namespace bitloop::trainer {
namespace {

constexpr double kEpsilon = 1e-8;

// What one of LibTorch's updates takes.
struct Group {
  std::vector<at::Tensor> parameters, gradients, first, second;
};

// Beyond this a second moment, which is float32, would be infinite for good.
bool is_usable(double norm) { return std::isfinite(static_cast<float>(norm * norm)); }

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
  if (!slots_.empty() && !slots_.front().parameter.is_cpu())
    return step_by_operations(learning_rate);
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
  if (!is_usable(norm)) return HUGE_VAL;
  const bool clips = grad_clip_ > 0 && norm > grad_clip_;
  kernels::adamw(tensors, {.beta1 = beta1_,
                           .beta2 = beta2_,
                           .epsilon = kEpsilon,
                           .step = ++steps_,
                           .gradient_factor = clips ? grad_clip_ / (norm + 1e-6) : 1.0});
  for (const Slot& slot : slots_) slot.parameter.mutable_grad() = at::Tensor();
  return norm;
}

double AdamW::step_by_operations(double learning_rate) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  std::map<std::pair<double, double>, Group> groups;  // by rate and decay
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (!slot.parameter.grad().defined()) continue;
    gradients.push_back(slot.parameter.grad().contiguous());
    Group& group = groups[{slot.lr_scale, slot.weight_decay}];
    group.parameters.push_back(slot.parameter.detach());
    group.gradients.push_back(gradients.back());
    group.first.push_back(moments_[i].first);
    group.second.push_back(moments_[i].second);
  }
  if (gradients.empty()) return 0.0;

  const at::Tensor norms = at::stack(at::_foreach_norm(gradients, 2)).to(at::kDouble);
  const double norm = norms.square().sum().sqrt().item<double>();
  if (!is_usable(norm)) return HUGE_VAL;
  if (grad_clip_ > 0 && norm > grad_clip_) at::_foreach_mul_(gradients, grad_clip_ / (norm + 1e-6));
  const at::Tensor step = at::full({}, static_cast<double>(++steps_),
                                   at::TensorOptions(at::kFloat).device(norms.device()));
  for (auto& [key, group] : groups) {
    const auto& [lr_scale, weight_decay] = key;
    at::_fused_adamw_(group.parameters, group.gradients, group.first, group.second, {},
                      std::vector(group.parameters.size(), step), learning_rate * lr_scale, beta1_,
                      beta2_, weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
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
