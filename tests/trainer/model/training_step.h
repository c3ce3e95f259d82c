// One optimiser step of a small model, by autograd or fused: the loss and every gradient, and how
// near one must be to the other.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>

#include "tests/trainer/fixture.h"
#include "trainer/data/dataset.h"
#include "trainer/model/fused_step.h"
#include "trainer/model/training_pass.h"

namespace bitloop::trainer {

using Gradients = std::map<std::string, at::Tensor>;

struct Outcome {
  double loss = 0.0;
  Gradients gradients;
};

// How far all gradients together are from those wanted, as a share of their norm.
inline double distance_of_gradients(const Outcome& got, const Outcome& want) {
  double difference = 0.0, norm = 0.0;
  for (const auto& [name, gradient] : want.gradients) {
    difference += (got.gradients.at(name) - gradient).square().sum().item<double>();
    norm += gradient.square().sum().item<double>();
  }
  return std::sqrt(difference / norm);
}

struct Case {
  std::string name;
  std::string quantizer;  // file in quantizers/, or Lua text
  ModelConfig model = small_model();
  bool quantize_head = false;
  double lambda = 1.0;
  int64_t batch = 3, micro_batches = 1;
};

inline void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

inline std::unique_ptr<lua::Quantizer> load(const std::string& what, at::Device device = at::kCPU) {
  return what.find("local Q") == std::string::npos ? shipped_quantizer(what, device)
                                                   : quantizer_from(what, device);
}

inline void init_params(Transformer& model, lua::Quantizer& quantizer) {
  if (!quantizer.has("init")) return;
  for (BitLinear* layer : model.bitlinears()) {
    auto made = quantizer.init(layer->layer, layer->weight.detach());
    ASSERT_TRUE(made) << made.error().message;
    for (auto& [name, param] : made->params) layer->params[name] = param.value.requires_grad_(true);
    layer->state = made->state;
  }
}

inline Batch random_batch(const Case& c) {
  const at::Tensor ids = at::randint(c.model.vocab_size, {c.batch, c.model.context + 1}, at::kLong);
  return {ids.narrow(1, 0, c.model.context).contiguous(),
          ids.narrow(1, 1, c.model.context).contiguous()};
}

// One optimiser step's loss and gradients, as train_step makes them.
class Trainer {
 public:
  explicit Trainer(const Case& c, at::Device device = at::kCPU)
      : case_(c), quantizer_(load(c.quantizer, device)), model_(c.model, c.quantize_head, 5) {
    model_.to(device);
    init_params(model_, *quantizer_);
    // Larger weights than at the start, and biases that are not zero, so that every term counts.
    at::manual_seed(3);
    for (const auto& [name, tensor] : model_.named_parameters()) {
      const at::Tensor value = tensor.detach();
      if (value.dim() == 2) value.mul_(4.0);
      if (value.dim() == 1) value.add_(at::randn(value.sizes()).to(device), 0.1);
    }
    for (BitLinear* layer : model_.bitlinears()) {
      if (layer->params.contains("s")) layer->params["s"].detach().mul_(4.0);
    }
  }

  Outcome step(const Batch& batch, Products products, bool fused, bool captured = false) {
    ForwardContext context{.quantizer = quantizer_.get(),
                           .step = step_,
                           .total_steps = 100,
                           .training = true,
                           .lambda = case_.lambda,
                           .products = products,
                           .captured = captured};
    for (auto& [name, tensor] : learnable()) tensor.mutable_grad() = at::Tensor();
    const Status quantized = model_.quantize_weights(context);
    EXPECT_TRUE(quantized) << (quantized ? "" : quantized.error().message);
    const int64_t rows = case_.batch / case_.micro_batches;
    if (fused && !fused_) fused_ = std::make_unique<FusedTraining>(model_, rows);
    if (fused) {
      EXPECT_TRUE(fused_->begin_step(context));
    }
    Outcome outcome;
    const double share = 1.0 / static_cast<double>(case_.micro_batches);
    for (int64_t i = 0; i < case_.micro_batches; ++i) {
      const at::Tensor ids = batch.inputs_BT.narrow(0, i * rows, rows),
                       targets = batch.targets_BT.narrow(0, i * rows, rows);
      if (fused) {
        const auto loss = fused_->accumulate(ids, targets, context, share);
        EXPECT_TRUE(loss) << (loss ? "" : loss.error().message);
        outcome.loss += loss->item<double>() * share;
      } else {
        const auto logits = model_.forward(ids, context);
        EXPECT_TRUE(logits) << (logits ? "" : logits.error().message);
        const at::Tensor loss = at::cross_entropy_loss(*logits, targets.reshape({-1})) * share;
        torch::autograd::backward({loss}, {});
        outcome.loss += loss.item<float>();
      }
    }
    model_.finish_weight_gradients(context);
    for (auto& [name, tensor] : learnable())
      if (tensor.grad().defined()) outcome.gradients[name] = tensor.grad().clone();
    return outcome;
  }

  // The same by another pass, which is made for this model.
  // `announce` hears of the last micro-batch's gradients.
  Result<double> try_step_with(TrainingPass& pass, const Batch& batch,
                               const TrainingPass::Announce& announce = nullptr) {
    const ForwardContext context{.quantizer = quantizer_.get(),
                                 .training = true,
                                 .lambda = case_.lambda,
                                 .products = Products::kBfloat16,
                                 .weight_programs = weight_programs_};
    for (auto& [name, tensor] : learnable()) tensor.mutable_grad() = at::Tensor();
    BITLOOP_TRY(model_.quantize_weights(context));
    BITLOOP_TRY(pass.begin_step(context));
    const int64_t rows = case_.batch / case_.micro_batches;
    const double share = 1.0 / static_cast<double>(case_.micro_batches);
    double sum = 0.0;
    for (int64_t i = 0; i < case_.micro_batches; ++i) {
      BITLOOP_ASSIGN(loss,
                     pass.accumulate(batch.inputs_BT.narrow(0, i * rows, rows),
                                     batch.targets_BT.narrow(0, i * rows, rows), context, share,
                                     i + 1 == case_.micro_batches ? announce : nullptr));
      sum += loss.item<double>() * share;
    }
    BITLOOP_TRY(pass.end_step(context));
    model_.finish_weight_gradients(context);
    return sum;
  }
  Outcome step_with(TrainingPass& pass, const Batch& batch) {
    Outcome outcome;
    const Result<double> loss = try_step_with(pass, batch);
    EXPECT_TRUE(loss) << (loss ? "" : loss.error().message);
    outcome.loss = loss.value_or(0.0);
    for (auto& [name, tensor] : learnable())
      if (tensor.grad().defined())
        outcome.gradients[name] = tensor.grad().to(at::kCPU, at::kFloat, false, /*copy=*/true);
    return outcome;
  }

  // Which step the next one is.
  void at_step(int64_t step) { step_ = step; }
  // The same step by a FusedTraining that has done none.
  Outcome step_with_new_pass(const Batch& batch) {
    std::unique_ptr<FusedTraining> old = std::move(fused_);
    const Outcome made = step(batch, Products::kBfloat16, true, true);
    fused_ = std::move(old);
    return made;
  }
  // Quantises as an evaluation does.
  void evaluate() {
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(model_.quantize_weights({.quantizer = quantizer_.get(), .step = step_}));
  }
  // For try_step_with.
  void use(WeightPrograms& programs) { weight_programs_ = &programs; }
  FusedTraining* fused() { return fused_.get(); }
  Transformer& model() { return model_; }

 private:
  std::vector<std::pair<std::string, at::Tensor>> learnable() {
    auto all = model_.named_parameters();
    for (BitLinear* layer : model_.bitlinears())
      for (auto& [name, tensor] : layer->params)
        all.emplace_back(layer->layer.name + "." + name, tensor);
    return all;
  }

  Case case_;
  int64_t step_ = 0;
  std::unique_ptr<lua::Quantizer> quantizer_;
  Transformer model_;
  std::unique_ptr<FusedTraining> fused_;
  WeightPrograms* weight_programs_ = nullptr;
};

inline double relative(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>() / (b.norm().item<double>() + 1e-12);
}

// A learned step size has one number, the difference of large sums: those of all layers are
// compared as one vector, since nothing bounds the error of a single one relatively.
inline Gradients by_tensor(const Gradients& gradients) {
  Gradients all;
  for (const auto& [name, gradient] : gradients) {
    const std::string key = gradient.numel() > 1 ? name : name.substr(name.rfind('.'));
    all[key] = all.contains(key) ? at::cat({all[key], gradient.view({-1})}) : gradient.view({-1});
  }
  return all;
}

// The exact gradients are autograd's with float32 products. bfloat16 keeps 8 bits, so each product
// of a chain moves a gradient by up to 2^-9, relatively; what it may be off in all is measured on
// autograd's own bfloat16 path, which rounds at as many places: the fused one must be as near, up
// to as much again and 2^-9. Attention in bfloat16 moves some activations across a boundary between
// two codes, 1/127 of the row's largest: a row's loss moves by less than that, the mean of 12 rows
// or more by less than a third of it.
inline void compare(const Outcome& fused, const Outcome& exact, const Outcome& rounded) {
  EXPECT_NEAR(fused.loss, exact.loss, 2.5e-3);
  const Gradients got = by_tensor(fused.gradients), want = by_tensor(exact.gradients),
                  oracle = by_tensor(rounded.gradients);
  ASSERT_EQ(fused.gradients.size(), exact.gradients.size());
  for (const auto& [name, gradient] : want) {
    ASSERT_TRUE(got.contains(name)) << name;
    const double allowed = 2.0 * relative(oracle.at(name), gradient) + 2e-3;
    EXPECT_LT(relative(got.at(name), gradient), allowed) << name;
  }
}

}  // namespace bitloop::trainer
